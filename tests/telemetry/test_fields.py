"""The fields of log records: those that the page names, by any formatter that shows ``extra``."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
import structlog
from django.core.exceptions import FieldError
from pythonjsonlogger.json import JsonFormatter

from django_rpc.demo.client.shop.models import Customer

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "observe.md"
STRUCTLOG = structlog.stdlib.ProcessorFormatter(
    foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
    processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
)


def documented():
    section = PAGE.read_text().partition("## Structured logs")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `rpc_")]
    return {name for row in rows for name in re.findall(r"`(rpc_\w+)`", row.split("|")[1])}


@pytest.fixture
def lines():
    """Return the records of both ends within the block, as a formatter writes them."""
    loggers = [logging.getLogger(name) for name in ("django_rpc.client", "django_rpc.server")]
    levels = [logger.level for logger in loggers]
    text = io.StringIO()
    handler = logging.StreamHandler(text)

    def told(formatter, call):
        handler.setFormatter(formatter)
        call()
        return [json.loads(line) for line in text.getvalue().splitlines()]

    for logger in loggers:
        logger.setLevel("DEBUG")
        logger.addHandler(handler)
    yield told
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        logger.removeHandler(handler)


@pytest.mark.django_db(databases=["default", "rpc"])
@pytest.mark.parametrize("formatter", [JsonFormatter(), STRUCTLOG], ids=["python-json-logger", "structlog"])
def test_records_of_both_ends_are_joined_by_the_request(formatter, lines):
    records = lines(formatter, Customer.objects.filter(tier="vip").count)
    fields = [{name for name in record if name.startswith("rpc_")} for record in records]
    assert len(records) >= 2
    assert len({record["rpc_request"] for record in records}) == 1
    assert any("rpc_service" in one for one in fields)  # the client's
    assert any("rpc_client" in one for one in fields)  # the service's
    assert set().union(*fields) == documented()


@pytest.mark.django_db(databases=["default", "rpc"])
def test_a_failed_call_names_the_class_of_its_error(lines):
    def fail():
        with pytest.raises(FieldError):
            Customer.objects.delayed().filter(nope=1).count().compute()

    records = lines(JsonFormatter(), fail)
    assert [record["rpc_error"] for record in records if "rpc_error" in record] == ["FieldError"]
