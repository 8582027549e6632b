"""The repairs of Celery's consumer that a live test cannot time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker.consumer import Consumer as CeleryConsumer

from django_rpc.celery.consumer import Consumer


@pytest.mark.parametrize("hub", [object(), None], ids=["with a loop", "greenlets"])
@pytest.mark.parametrize("watched_before", [True, False])
def test_dead_processes_are_replaced_before_the_pool_is_watched_again(monkeypatch, hub, watched_before):
    """A storm on RabbitMQ found it (``python -m tests.chaos --broker rabbitmq --seconds 90``).

    A pool that has never been watched frees no queues, so that it cannot replace a process.
    """
    done = []
    consumer = Consumer.__new__(Consumer)
    consumer.hub = hub
    pool = SimpleNamespace(maintain_pool=lambda: done.append("replaced"), _registered_with_event_loop=watched_before)
    consumer.pool = SimpleNamespace(_pool=pool)
    monkeypatch.setattr(CeleryConsumer, "loop_args", lambda self: done.append("watched") or ("arguments",))
    assert consumer.loop_args() == ("arguments",)
    assert done == (["replaced", "watched"] if hub and watched_before else ["watched"])


def test_a_rejected_message_is_logged_without_its_body(caplog):
    done = []
    consumer = Consumer.__new__(Consumer)
    consumer.connection_errors = ()
    more = {"headers": {}, "delivery_info": {}, "channel": None}
    message = SimpleNamespace(acknowledged=False, reject_log_error=lambda *_: done.append("rejected"), **more)
    consumer.on_decode_error(message, ValueError("a secret"))
    assert done == ["rejected"]
    assert "cannot be read" in caplog.text
    assert "secret" not in caplog.text


def test_a_message_that_the_broker_has_forgotten_is_not_rejected():
    """AMQP closes the channel of a consumer that rejects a message which was acknowledged when it was delivered."""
    consumer = Consumer.__new__(Consumer)
    channel = SimpleNamespace(no_ack_consumers={"7"})
    message = SimpleNamespace(acknowledged=False, channel=channel, delivery_info={"consumer_tag": "7"}, headers={})
    consumer.on_decode_error(message, ValueError("of any kind"))  # has no method to reject it
