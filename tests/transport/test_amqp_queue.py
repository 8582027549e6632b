"""The reply queue of a process on a broker: declared before any of its threads sends a request."""

from __future__ import annotations

import threading
import time

import pytest

from django_rpc.transport import amqp_queue as mailbox_module
from django_rpc.transport.amqp_queue import Mailbox
from django_rpc.transport.celery_app import make_app
from django_rpc.transport.config import Config


@pytest.fixture
def mailbox():
    return Mailbox(make_app(Config(broker_url="memory://", result_backend="rpc://")))


class SlowBroker:
    """Stands in for `reach`: the first connection is made when ``release`` is set, and fails if ``fails``."""

    def __init__(self, monkeypatch, *, fails=False):
        self.reached, self.release, self.count = threading.Event(), threading.Event(), 0
        self.fails = fails
        monkeypatch.setattr(mailbox_module, "reach", self)

    def __call__(self, connection, seconds):
        self.count += 1
        if self.count == 1:
            self.reached.set()
            assert self.release.wait(10)
            if self.fails:
                raise ConnectionRefusedError("no broker")


def start(call, *args):
    """Run the call in a thread; returns the thread and a list that gets its result, or its error."""
    ended = []

    def run():
        try:
            ended.append(call(*args))
        except Exception as error:  # noqa: BLE001 - compared by the test
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, ended


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_second_thread_waits_until_the_first_has_declared_the_queue(mailbox, monkeypatch):
    broker = SlowBroker(monkeypatch)
    first, first_ended = start(mailbox.expect, "a", 5.0)
    assert broker.reached.wait(10)
    second, second_ended = start(mailbox.expect, "b", 5.0)
    until(lambda: second_ended or mailbox._condition._waiters)
    assert second_ended == []  # it would send now, and the answer would find no queue
    broker.release.set()
    first.join(10)
    second.join(10)
    assert (first_ended, second_ended) == ([None], [None])
    assert broker.count == 1


def test_a_second_thread_connects_itself_where_the_first_could_not(mailbox, monkeypatch):
    broker = SlowBroker(monkeypatch, fails=True)
    first, first_ended = start(mailbox.expect, "a", 5.0)
    assert broker.reached.wait(10)
    second, second_ended = start(mailbox.expect, "b", 5.0)
    until(lambda: mailbox._condition._waiters)
    broker.release.set()
    first.join(10)
    second.join(10)
    assert [type(error) for error in first_ended] == [ConnectionRefusedError]
    assert second_ended == [None]
    assert broker.count == 2


def test_a_thread_that_waits_for_the_queue_fails_within_its_seconds(mailbox, monkeypatch):
    broker = SlowBroker(monkeypatch)
    first, _ = start(mailbox.expect, "a", 5.0)
    assert broker.reached.wait(10)
    with pytest.raises(mailbox.failures) as caught:
        mailbox.expect("b", 0.05)
    assert "reply queue" in str(caught.value)
    broker.release.set()
    first.join(10)


def test_a_thread_that_sends_while_the_connection_is_made_again_waits_as_well(mailbox, monkeypatch):
    mailbox.expect("a", 5.0)
    mailbox._hang_up()  # as the thread that reads does when the connection breaks
    broker = SlowBroker(monkeypatch)
    reader, _ = start(mailbox.take, "a", time.monotonic() + 1)
    assert broker.reached.wait(10)
    sender, sender_ended = start(mailbox.expect, "b", 5.0)
    until(lambda: sender_ended or mailbox._condition._waiters)
    assert sender_ended == []
    broker.release.set()
    sender.join(10)
    assert sender_ended == [None]
    mailbox._answers["a"] = {}
    reader.join(10)
