"""Counters and histograms of both ends, in this process; tests/live/test_metrics.py has those of a prefork worker."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest
from django.core.exceptions import FieldError
from django.db import connections
from prometheus_client import REGISTRY

from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.server import handle
from django_rpc.telemetry import instruments, operations
from django_rpc.wire.codec import encode_request
from django_rpc.wire.messages import Request

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "observe.md"
COUNT = Method(ModelSource("shop.Customer", "rpc"), "count")


def samples():
    """Each sample of ours, by its name and labels; without when it was made."""
    return {
        (sample.name, *(pair for pair in sorted(sample.labels.items()) if pair[0] != "le")): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name.startswith("django_rpc_") and not sample.name.endswith(("_created", "_bucket"))
    }


@pytest.fixture
def counted(db):
    """``counted(name, **labels)``: how much is more than when the test began."""
    before = samples()

    def more(name, **labels):
        key = (name, *sorted(labels.items()))
        return samples().get(key, 0) - before.get(key, 0)

    return more


def of_server(counted, operation, outcome, client="anonymous"):
    return counted("django_rpc_server_requests_total", client=client, operation=operation, outcome=outcome)


def of_client(counted, outcome):
    return counted("django_rpc_client_requests_total", service="rpc", outcome=outcome)


def test_a_read(counted, remote, shop_data):
    assert len(remote.Customer.objects.filter(pk__lte=7)) == 7
    assert of_client(counted, "done") == of_server(counted, "read", "done") == 1
    assert counted("django_rpc_server_rows_read_total", client="anonymous") == 7
    assert counted("django_rpc_server_sql_statements_total", client="anonymous") == 1
    assert counted("django_rpc_client_sent_bytes_total", service="rpc") > 100
    assert counted("django_rpc_client_received_bytes_total", service="rpc") > 100
    assert counted("django_rpc_client_request_seconds_count", service="rpc") == 1
    assert counted("django_rpc_server_request_seconds_count", operation="read") == 1
    there = counted("django_rpc_server_request_seconds_sum", operation="read")
    assert 0 < there < counted("django_rpc_client_request_seconds_sum", service="rpc") < 60


def test_a_write(counted, remote):
    remote.Tag.objects.create(name="blue")
    assert of_server(counted, "create", "done") == 1
    assert counted("django_rpc_server_rows_written_total", client="anonymous") == 1


def test_refusals_are_counted_by_code(counted, remote):
    with pytest.raises(FieldError):
        remote.Customer.objects.delayed().filter(secret_note="x").count().compute()
    assert of_client(counted, "failed") == of_server(counted, "read", "refused") == 1
    assert counted("django_rpc_server_refusals_total", client="anonymous", code="FieldError") == 1


def test_a_failure_is_no_refusal(counted, remote):
    with pytest.raises(remote.Customer.DoesNotExist):
        remote.Customer.objects.delayed().get(name="nobody").compute()
    assert of_server(counted, "read", "failed") == 1
    assert not [key for key in samples() if ("code", "DoesNotExist") in key]


def test_ledger_answers_are_counted(counted, remote):
    create = Method(ModelSource("shop.Tag", "rpc"), "create", (), {"name": "again"})
    message = encode_request(Request(id="m-1", nodes=(create.parent, create), outputs=(1,)))
    assert handle(message, None, "m-1") == handle(message, None, "m-1")
    assert (of_server(counted, "create", "done"), of_server(counted, "create", "again")) == (1, 1)
    assert counted("django_rpc_server_rows_written_total", client="anonymous") == 1


def test_unknown_client_has_no_label(counted, settings):
    settings.DJANGO_RPC = {"SERVICE": "stock", "CLIENTS": {"shop": {"keys": {"k": "s" * 32}}}}
    handle(b"nonsense", None, "t-1")
    assert of_server(counted, "", "refused", client="") == 1
    assert counted("django_rpc_server_refusals_total", client="", code="RequestRefused") == 1


def test_calls_in_progress(counted, remote):
    future = remote.Customer.objects.future().count()
    in_progress = "django_rpc_client_requests_in_progress"
    assert (counted(in_progress, service="rpc"), of_client(counted, "done")) == (1, 0)
    future.result()
    assert (counted(in_progress, service="rpc"), of_client(counted, "done")) == (0, 1)
    future = remote.Customer.objects.future().count()
    del future
    gc.collect()
    assert (counted(in_progress, service="rpc"), of_client(counted, "unread")) == (0, 1)


def test_a_broker_that_is_away(counted):
    session = Session({"BROKER_URL": "redis://localhost:1/", "RESULT_BACKEND": "redis://localhost:1/"})
    with pytest.raises(Exception, match="broker"):
        session.compute([Output(COUNT)], timeout=0.5)
    assert of_client(counted, "lost") == 1
    assert counted("django_rpc_client_requests_in_progress", service="rpc") == 0


def test_names_of_a_client_make_no_labels(db):
    handle(encode_request(Request(id="t-1", nodes=(COUNT.parent, COUNT), outputs=(1,))))
    before = set(samples())
    for number in range(50):
        source = ModelSource(f"auth.Secret{number}", "rpc")
        hostile = Method(source, "filter", (), {f"field_{number}": 1})
        handle(encode_request(Request(id=f"t-{number}", nodes=(source, hostile), outputs=(1,))), None, f"t-{number}")
        handle(b"nonsense%d" % number, None, f"id-{number}")
    new = {value for key in set(samples()) - before for _, value in key[1:]}
    assert new <= {"anonymous", "refused", "", "UnknownModel", "BadMessage", *operations.KINDS}


def test_no_observers_no_counts(counted):
    settings = {**connections["rpc"].settings_dict, "OBSERVERS": []}
    Session(settings).compute([Output(COUNT)])
    assert of_client(counted, "done") == 0
    assert of_server(counted, "read", "done") == 1


def test_the_page_names_each_metric_and_its_labels():
    section = PAGE.read_text().partition("## Metrics")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `django_rpc_")]
    told = {name: set(re.findall(r"`(\w+)`", row[2])) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    made = [one for one in vars(instruments).values() if hasattr(one, "_labelnames")]
    assert told == {one._name + ("_total" if one._type == "counter" else ""): set(one._labelnames) for one in made}
    for kind in operations.KINDS:
        assert f"`{kind}`" in section


def test_calls_of_a_process_that_is_gone_are_not_in_progress(run_python, tmp_path):
    """A worker that calls other services, with a process that ends during a call."""
    run_python(
        """
import os, django
django.setup()
from django_rpc.celery.metrics import count_in_files
count_in_files()
from celery import signals
from prometheus_client import CollectorRegistry, multiprocess
from django_rpc.telemetry import metrics
from django_rpc.telemetry.hooks import Sent
pid = os.fork()
if not pid:
    metrics.sent(Sent(service="rpc"))(Sent(service="rpc"))
    metrics.sent(Sent(service="rpc"))
    os._exit(0)
os.waitpid(pid, 0)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
read = lambda name, **more: registry.get_sample_value(name, {"service": "rpc", **more})
assert read("django_rpc_client_requests_in_progress") == 1
signals.worker_process_shutdown.send(sender=None, pid=pid, exitcode=0)
assert read("django_rpc_client_requests_in_progress") is None
assert read("django_rpc_client_requests_total", outcome="unknown") == 1
""",
        env={
            "DJANGO_SETTINGS_MODULE": "django_rpc.demo.both_settings",
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        },
    )


def test_worker_without_metrics_logs_reason(monkeypatch, caplog):
    import sys

    from django_rpc.celery.metrics import count_in_files

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    count_in_files()
    assert "nothing is counted" in caplog.text
