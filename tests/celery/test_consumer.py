"""The repairs of Celery's consumer that a live test cannot time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker.consumer import Consumer as CeleryConsumer

from django_rpc.celery.consumer import Consumer


@pytest.mark.parametrize("hub", [object(), None], ids=["with a loop", "greenlets"])
def test_dead_processes_are_replaced_before_the_pool_is_watched(monkeypatch, hub):
    """A storm on RabbitMQ found it (``python -m tests.chaos --broker rabbitmq --seconds 90``)."""
    done = []
    consumer = Consumer.__new__(Consumer)
    consumer.hub = hub
    consumer.pool = SimpleNamespace(_pool=SimpleNamespace(maintain_pool=lambda: done.append("replaced")))
    monkeypatch.setattr(CeleryConsumer, "loop_args", lambda self: done.append("watched") or ("arguments",))
    assert consumer.loop_args() == ("arguments",)
    assert done == (["replaced", "watched"] if hub else ["watched"])


def test_what_is_no_task_is_refused_and_not_logged(caplog):
    done = []
    consumer = Consumer.__new__(Consumer)
    consumer.connection_errors = ()
    message = SimpleNamespace(acknowledged=False, reject_log_error=lambda *_: done.append("refused"), headers={})
    consumer.on_unknown_message("a secret", message)
    assert done == ["refused"]
    assert "has no form that is known" in caplog.text
    assert "secret" not in caplog.text
