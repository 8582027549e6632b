"""The task as Celery runs it, without a broker."""

from __future__ import annotations

import pytest
from celery import Celery
from celery.app.trace import build_tracer

import django_rpc.server
from django_rpc.celery import register
from django_rpc.celery import task as task_module


@pytest.fixture
def told(monkeypatch):
    """The events in their order; the service answers ``answer``."""
    events = []

    def serve(message, token, request_id, again, *more):
        events.append(f"served, again={again}")
        return django_rpc.server.Sending(b"answer", lambda: events.append("token used up"))

    monkeypatch.setattr(django_rpc.server, "serve", serve)
    monkeypatch.setattr(task_module, "close_old_connections", lambda: None)
    return events


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_token_is_used_up_when_the_answer_is_where_the_client_finds_it(told, redelivered):
    """A worker that dies before has its message delivered again, which must be taken."""
    app = Celery("project", backend="cache+memory://", set_as_current=False)
    task = register(app)
    store = app.backend.mark_as_done
    app.backend.mark_as_done = lambda *args, **more: told.append("stored") or store(*args, **more)
    trace = build_tracer(task.name, task, app=app)
    trace("7f", ("{}",), {}, {"id": "7f", "delivery_info": {"redelivered": redelivered}})
    assert told == [f"served, again={redelivered}", "stored", "token used up"]


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_a_token_is_not_used_up_where_the_answer_could_not_be_stored(told, monkeypatch):
    app = Celery("project", backend="cache+memory://", set_as_current=False)
    task = register(app)

    def fail(*args, **more):
        raise ConnectionError("no backend")

    monkeypatch.setattr(app.backend, "mark_as_done", fail)
    trace = build_tracer(task.name, task, app=app)
    trace("7f", ("{}",), {}, {"id": "7f"})
    assert told == ["served, again=False"]
