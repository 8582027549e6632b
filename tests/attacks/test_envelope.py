"""Headers and bodies of malformed task messages: no part of one reaches Celery."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest import mock

import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker import state as worker_state
from kombu.message import Message

from django_rpc.celery import register
from django_rpc.celery.control import COMMANDS, restrict
from django_rpc.celery.envelope import Malformed, read_delivery, read_task
from django_rpc.celery.task import TaskRequest
from django_rpc.wire.names import TASK_NAME

SIGNATURE = {"task": "os.system", "args": ["true"], "kwargs": {}, "options": {}}
#: A value for each header that Celery has a use for, which it fails at or obeys.
HEADERS = {
    **dict.fromkeys(["stamped_headers", "stamps", "groups", "group_index", "retries", "eta", "timelimit"], 5),
    **dict.fromkeys(["time_limit", "soft_time_limit", "replaced_task_nesting"], 10**300),
    **dict.fromkeys(["callbacks", "errbacks", "chain", "chord", "group", "shadow"], SIGNATURE),
    **{key: ["x"] for key in ("reply_to", "correlation_id", "hostname", "origin", "argsrepr", "kwargsrepr")},
    **{key: {"a": 1} for key in ("is_eager", "called_directly", "_protected", "_children", "update", "get")},
    **dict.fromkeys(["delivery_info", "properties", "headers", "args", "kwargs", "django_rpc_finish", "utc"], "text"),
}
WRONG = {
    "id": [5, None, [], "x" * 129, "a b", "", "x\n"],
    "task": [5, None, [], "x y", ""],
    "expires": [5, "tomorrow", [], "9999-99-99", "0001-01-01T00:00:00+14:00"],
    "root_id": [5, [], "x" * 256, "\ud800"],
    "ignore_result": [5, "x"],
}
BODIES = ["", "5", "[]", "[[],{},{}]", '[["x"],{"a":1},{}]', '[["x"],{},{"chord":{}}]', "[[5],{},{}]", "[" * 5000, "{"]


def envelope(body=None, **more):
    headers = {"task": TASK_NAME, "id": "7f", "lang": "py", **more}
    body = json.dumps([["{}"], {"reply_to": None}, None]) if body is None else body
    return Message(body=body, headers=headers, content_type="application/json", content_encoding="utf-8")


def received(message):
    """Return the request that Celery makes of a message for the app of a project, and the app."""
    app = Celery("project", backend="cache+memory://", set_as_current=False)
    task = register(app)
    options = {"headers": message.headers, "body": message.body, "decoded": False}
    return TaskRequest(message, app=app, task=task, hostname="h", **options), app


@pytest.mark.parametrize("name", HEADERS)
def test_celery_options_of_message_are_ignored(name):
    request, _ = received(envelope(**{name: HEADERS[name]}))
    pool = mock.Mock()
    request.execute_using_pool(pool)
    (_, _, headers, body, *_), more = pool.apply_async.call_args.kwargs["args"], pool.apply_async.call_args.kwargs
    assert headers.get(name) != HEADERS[name]
    assert (more["timeout"], more["soft_timeout"]) == (None, None)
    assert json.loads(body)[2] == dict.fromkeys(["callbacks", "errbacks", "chain", "chord"])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_header_of_another_type_is_refused(name, value):
    with pytest.raises(InvalidTaskError):
        received(envelope(**{name: value}))


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_call_is_refused(body):
    with pytest.raises(InvalidTaskError):
        received(envelope(body))


def test_an_expired_message_starts_nothing():
    """Celery notifies the chord of an expired task in the worker's main process."""
    expired = {"expires": "2001-01-01T00:00:00+00:00", "chord": SIGNATURE, "group": "g", "errbacks": [SIGNATURE]}
    request, app = received(envelope(**expired))
    app.backend.on_chord_part_return = mock.Mock()
    assert request.revoked()
    app.backend.on_chord_part_return.assert_not_called()


def test_unknown_headers_are_accepted():
    more = {"traceparent": "00-1", "baggage": "x" * 9000, "x y": "1", "n": 5, "tracestate": "\ud800"}
    request, _ = received(envelope(**more))
    assert {name: request.request_dict.get(name) for name in more} == {**dict.fromkeys(more), "traceparent": "00-1"}


ITEM = {"body": "e30=", "headers": {}, "properties": {"delivery_tag": "1", "delivery_info": {}}}


@pytest.mark.parametrize(
    "item",
    [
        *(None, 5, [], "text", {}, {**ITEM, "properties": None}, {**ITEM, "headers": "text"}, {**ITEM, "body": 5}),
        *({**ITEM, "properties": {**ITEM["properties"], name: value}} for name, value in [
            *(("delivery_tag", []), ("delivery_tag", None), ("delivery_info", None)),
            ("delivery_info", {"exchange": 5}),
            *(("body_encoding", "rot13"), ("body_encoding", []), ("priority", "x"), ("reply_to", {})),
        ]),
    ],
)  # fmt: skip
def test_a_delivery_of_another_form_is_refused(item):
    with pytest.raises(Malformed):
        read_delivery(item, "queue", fanout=False)


def test_a_delivery_does_not_choose_its_tag_or_its_queue():
    info = {"exchange": "celeryev", "routing_key": "elsewhere"}
    item = {**ITEM, "properties": {"delivery_tag": "of another message", "delivery_info": info}}
    properties = read_delivery(item, "queue", fanout=False)["properties"]
    assert properties["delivery_tag"] != "of another message"
    assert properties["delivery_info"] == {"exchange": "", "routing_key": "queue", "redelivered": False}


@pytest.mark.parametrize("method", ["shutdown", "pool_shrink", "time_limit", "add_consumer", "election", "x", 5, None])
def test_remote_control_does_not_end_a_worker(method):
    handler = mock.Mock(return_value={})
    node = SimpleNamespace(handlers=dict.fromkeys([*COMMANDS, "shutdown"], handler), handle_message=mock.Mock())
    node.mailbox = SimpleNamespace(reply_exchange=SimpleNamespace(name="reply.celery.pidbox"))
    handle = node.handle_message
    restrict(node)
    node.handle_message({"method": method, "arguments": {}})
    handle.assert_not_called()
    node.handle_message({"method": "ping", "arguments": {}})
    handle.assert_called_once()


def restricted(handlers):
    """Return a node with the handlers, restricted; it calls them as kombu does."""
    node = SimpleNamespace(handlers={**dict.fromkeys(COMMANDS), **handlers})
    node.mailbox = SimpleNamespace(reply_exchange=SimpleNamespace(name="reply.celery.pidbox"))
    node.handle_message = lambda body: node.handlers[body["method"]](None, **(body.get("arguments") or {}))
    restrict(node)
    return node


@pytest.mark.parametrize(
    "arguments",
    [
        *({"task_id": 5}, {"task_id": [[1]]}, {"task_id": ["x"] * 101}, {"task_id": "x" * 256}, {"state": 5}),
        *({"ids": [{}]}, {"safe": 5}, {"taskinfoitems": "x"}, {"terminate": True, "task_id": "x"}, {"unknown": 1}, []),
    ],
)
def test_arguments_of_a_command_are_of_the_schema(arguments):
    handler = mock.Mock()
    node = restricted({"query_task": handler})
    node.handle_message({"method": "query_task", "arguments": arguments})
    handler.assert_not_called()
    node.handle_message({"method": "query_task", "arguments": {"ids": ["x"]}})
    handler.assert_called_once_with(None, ids=["x"])


@pytest.mark.parametrize("ids", ["revoked-1", ["revoked-2", "revoked-3"]])
def test_a_revoked_id_costs_no_query_of_the_result_backend(ids):
    """A command with 200,000 ids stopped a worker: Celery queried the result backend twice for each id."""
    celerys = mock.Mock()
    node = restricted({"revoke": celerys})
    node.handle_message({"method": "revoke", "arguments": {"task_id": ids, "terminate": False, "signal": "SIGTERM"}})
    celerys.assert_not_called()
    assert all(name in worker_state.revoked for name in ([ids] if isinstance(ids, str) else ids))


def test_the_largest_body_is_not_parsed():
    with mock.patch("django_rpc.celery.envelope.MAX_BODY", 10), pytest.raises(Malformed, match="bytes"):
        read_task({"task": TASK_NAME, "id": "7f"}, {}, b"[" * 11, "application/json")
