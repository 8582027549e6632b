"""A prefork worker's metrics, as Prometheus scrapes them: of all its processes, also of those that are gone."""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from django_rpc.demo.client.shop.models import Customer
from django_rpc.demo.processes import Process
from django_rpc.demo.services import free_port

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "observe.md"


@pytest.fixture
def files(tmp_path, monkeypatch):
    folder = tmp_path / "metrics"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    return folder


@pytest.fixture
def scrape(files, tmp_path):
    """Return the metrics that the script of the page serves, by names and labels."""
    section = PAGE.read_text().partition("## Metrics")[2]
    script = tmp_path / "metrics.py"
    script.write_text(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0])
    port = free_port()
    environment = {**os.environ, "METRICS_PORT": str(port)}
    process = Process([sys.executable, str(script)], log_path=tmp_path / "log", env=environment)

    def read():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            found = [sample for family in families for sample in family.samples]
        return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in found}

    def serves():
        try:
            return read() is not None
        except OSError:
            return False

    process.wait_until(serves, "The page's script", 15)
    yield read
    process.stop()


def test_a_prefork_worker(files, scrape, start_service, use_service):
    with start_service() as service, use_service(service):
        futures = [Customer.objects.filter(pk__lte=2).future().count() for _ in range(40)]
        assert {future.result() for future in futures} == {2}
        with pytest.raises(Customer.DoesNotExist):
            Customer.objects.delayed().get(pk=-1).compute()
        found = scrape()
        assert found["django_rpc_server_requests_total", "anonymous", "done", "read"] == 40
        assert found["django_rpc_server_requests_total", "anonymous", "failed", "read"] == 1
        assert found["django_rpc_server_request_seconds_count", "read"] == 41
        assert found["django_rpc_server_sql_statements_total", "anonymous"] == 41
        counting = {int(path.stem.rpartition("_")[2]) for path in files.glob("counter_*.db")}
        processes = {child.pid for child in psutil.Process(service.worker.pid).children(recursive=True)}
        assert len(counting & processes) == 2
        os.kill(min(counting & processes), signal.SIGKILL)
    assert scrape()["django_rpc_server_requests_total", "anonymous", "done", "read"] == 40
