"""A session on a transport that answers from a function, in this process."""

import logging
import os
import threading
import time
from types import SimpleNamespace

import pytest

from django_rpc import errors
from django_rpc.client import session as session_module
from django_rpc.client.hooks import MessageListener
from django_rpc.client.session import Options, Output, Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.graph.values import Record, Table
from django_rpc.transport.base import Reply, Transport
from django_rpc.wire.codec import decode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Response, TraceEntry

SHOP = ModelSource(model="shop.Order", service="rpc")


def count():
    return Method(parent=SHOP, name="count")


class FakeReply(Reply):
    def __init__(self, answer, here=True):
        self.answer = answer
        self.here = threading.Event()
        if here:
            self.here.set()
        self.waits = 0
        self.revocable = False

    def wait(self, timeout):
        self.waits += 1
        if not self.here.wait(timeout):
            self.late()
        return self.answer

    def late(self):
        raise errors.RpcTimeout("late")

    def ready(self):
        return self.here.is_set()

    def cancel(self):
        return self.revocable


class FakeTransport(Transport):
    """``answer(request)`` gives the Response; each request and its options are kept."""

    def __init__(self):
        self.requests = []
        self.options = []
        self.repeatable = []
        self.replies = []
        self.here = True
        self.answer = lambda request: Response(id=request.id, outputs=tuple(range(len(request.outputs))))

    def send(self, data, request_id, options, *, repeatable=False, token=None, headers=None):
        request = decode_request(data)
        assert request.id == request_id
        self.requests.append(request)
        self.options.append(options)
        self.repeatable.append(repeatable)
        self.replies.append(FakeReply(encode_response(self.answer(request)), self.here))
        return self.replies[-1]


@pytest.fixture
def transport(monkeypatch):
    fake = FakeTransport()
    monkeypatch.setattr(session_module, "transport_for", lambda config: fake)
    return fake


@pytest.fixture
def session():
    return Session({"TIMEOUT": 7})


def test_outputs_share_one_message(session, transport):
    finished = session.compute([Output(count()), Output(Method(parent=SHOP, name="first"), lambda value: f"<{value}>")])
    assert finished == [0, "<1>"]
    [request] = transport.requests
    assert len(request.nodes) == 3  # the source is there once
    assert request.client.process == os.getpid()
    assert request.expires == pytest.approx(request.client.called_at + 7)
    assert transport.options == [Options(timeout=7.0)]


def test_no_output_sends_nothing(session, transport):
    assert session.compute([]) == session.submit([]) == session.gather([]) == []
    assert transport.requests == []


def test_options_of_a_call(session, transport):
    session.compute([Output(count())], timeout=2, priority=True)
    session.compute([Output(count())], Options(timeout=None))
    assert transport.options == [Options(timeout=2.0, priority=True), Options(timeout=None)]
    assert transport.requests[1].expires is None


def test_only_reads_may_be_sent_again(session, transport):
    session.compute([Output(count())])
    session.compute([Output(Method(parent=SHOP, name="delete"))])
    assert transport.repeatable == [True, False]


def test_gather_sends_unsent_in_one_message(session, transport):
    sent = session.submit([Output(count())])[0]
    values = session.gather([Output(count()), sent, Output(count())])
    assert values == [0, 0, 1]
    assert len(transport.requests) == 2


def test_records_are_converted_by_results(transport):
    class Results(session_module.PlainResults):
        def record(self, record):
            return dict(zip(record.fields, record.values, strict=True))

        def table(self, table):
            return [dict(zip(table.fields, row, strict=True)) for row in table.rows]

        def shapes(self, nodes):
            return {node.model: ("id",) for node in nodes if isinstance(node, ModelSource)}

    record = Record(model="shop.Order", fields=("id",), values=(1,))
    table = Table(model="shop.Order", fields=("id",), rows=[(1,), (2,)])
    transport.answer = lambda request: Response(id=request.id, outputs=(record, table, [record, 5], [(1, 2), (3, 4)]))
    outputs = [Output(Method(parent=SHOP, name="first")) for _ in range(4)]
    values = Session({}, Results()).compute(outputs)
    assert values == [{"id": 1}, [{"id": 1}, {"id": 2}], [{"id": 1}, 5], [(1, 2), (3, 4)]]
    assert transport.requests[0].shapes == {"shop.Order": ("id",)}


def test_an_error_names_the_node_the_line_and_the_request(session, transport):
    node = Method(parent=SHOP, name="first", where=("shop/views.py", 12))
    report = {"code": "Remote", "remote_name": "shop.NoStock", "message": "none left", "traceback": "Traceback: ..."}
    transport.answer = lambda request: Response(id=request.id, error=ErrorReport(**report, node=1))
    with pytest.raises(errors.RemoteError, match="none left") as caught:
        session.compute([Output(node)])
    error = caught.value
    assert type(error).__name__ == "NoStock"
    assert error.remote_name == "shop.NoStock"
    assert type(error) is errors.remote_class("shop.NoStock")
    assert error.rpc_node == "Order.objects.first()"
    assert error.request_id == transport.requests[0].id
    assert error.remote_traceback == "Traceback: ..."
    notes = "\n".join(error.__notes__)
    assert "Order.objects.first()" in notes
    assert "shop/views.py:12" in notes
    assert error.request_id in notes


@pytest.mark.parametrize("node", [None, 99, -1])
def test_a_report_without_a_usable_node(session, transport, node):
    report = ErrorReport(code="PermissionDenied", message="no", node=node)
    transport.answer = lambda request: Response(id=request.id, error=report)
    with pytest.raises(errors.PermissionDenied) as caught:
        session.compute([Output(count())])
    assert caught.value.rpc_node is None


@pytest.mark.parametrize(
    "code",
    [
        *("BadMessage", "BadValue", "ForwardReference", "MessageTooDeep", "MessageTooLarge", "PermissionDenied"),
        *("TooManyNodes", "UnknownNode", "UnknownTag", "VersionMismatch", "WorkerLost"),
    ],
)
def test_each_error_of_the_wire_has_its_class(session, transport, code):
    transport.answer = lambda request: Response(id=request.id, error=ErrorReport(code=code, message="why"))
    with pytest.raises(getattr(errors, code), match="why"):
        session.compute([Output(count())])


def test_unencodable_value_is_refused_by_client(session, transport):
    deep = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(errors.MessageTooDeep):
        session.compute([Output(Method(parent=SHOP, name="filter", kwargs={"tags": deep}))])
    assert transport.requests == []


def test_a_foreign_or_broken_answer(session, transport, monkeypatch):
    transport.answer = lambda request: Response(id="another", outputs=(1,))
    with pytest.raises(errors.BadResponse, match="another"):
        session.compute([Output(count())])
    transport.answer = lambda request: Response(id=request.id, outputs=(1, 2))
    with pytest.raises(errors.BadResponse, match="2 values instead of 1"):
        session.compute([Output(count())])
    monkeypatch.setattr(FakeReply, "wait", lambda self, timeout: b"<html>")
    with pytest.raises(errors.BadResponse, match="cannot be read"):
        session.compute([Output(count())])


def test_an_answer_of_a_newer_server(session, transport, monkeypatch):
    wait = FakeReply.wait
    monkeypatch.setattr(FakeReply, "wait", lambda self, timeout: wait(self, timeout).replace(b'"v":1', b'"v":2'))
    with pytest.raises(errors.VersionMismatch):
        session.compute([Output(count())])


def test_a_name_of_the_server_is_no_class_path(session):
    kind = errors.remote_class("os.system('x')")
    assert kind.__name__ == "RemoteError"
    assert issubclass(kind, errors.RemoteError)


def test_calls_are_logged_with_client_and_duration(session, transport, caplog):
    with caplog.at_level(logging.INFO, "django_rpc.client"):
        session.compute([Output(count())])
    [record] = caplog.records
    assert record.rpc_request == transport.requests[0].id
    assert record.rpc_client_process == os.getpid()
    assert record.rpc_client_host
    assert record.rpc_outputs == 1
    assert record.rpc_seconds > 0
    assert record.levelno == logging.INFO


@pytest.mark.parametrize(("code", "level"), [("PermissionDenied", logging.INFO), ("WorkerLost", logging.WARNING)])
def test_bad_weather_is_a_warning_and_an_error_of_the_service_is_not(session, transport, caplog, code, level):
    transport.answer = lambda request: Response(id=request.id, error=ErrorReport(code=code, message="no"))
    with caplog.at_level(logging.INFO, "django_rpc.client"), pytest.raises(errors.RpcError):
        session.compute([Output(count())])
    [record] = caplog.records
    assert record.levelno == level
    assert record.rpc_error == code


def test_listeners_receive_each_call(session, transport):
    heard = []
    session.compute([Output(count())])
    assert not transport.requests[0].trace
    session.hooks.append(MessageListener(heard.append))
    transport.answer = lambda request: Response(id=request.id, outputs=(1,), trace=(TraceEntry("SELECT 1", 0.1),))
    session.compute([Output(count())])
    transport.answer = lambda request: Response(id=request.id, error=ErrorReport(code="PermissionDenied", message="no"))
    with pytest.raises(errors.PermissionDenied):
        session.compute([Output(count())])
    good, bad = heard
    assert transport.requests[1].trace
    assert good.trace == (TraceEntry("SELECT 1", 0.1),)
    assert good.error is None
    assert '"shop.Order"' in good.text
    assert good.seconds > 0
    assert isinstance(bad.error, errors.PermissionDenied)


def test_the_time_out_spans_sending_and_waiting(session, transport, monkeypatch):
    """The wait for the answer has the seconds that sending left."""
    seconds = [100.0]
    clock = SimpleNamespace(**{**vars(time), "perf_counter": lambda: seconds[0]})
    monkeypatch.setattr(session_module, "time", clock)
    send = transport.send
    monkeypatch.setattr(
        transport, "send", lambda *args, **more: seconds.append(seconds.pop() + 0.3) or send(*args, **more)
    )
    transport.here = False
    waits = []
    monkeypatch.setattr(FakeReply, "wait", lambda reply, timeout: waits.append(timeout) or reply.late())
    with pytest.raises(errors.RpcTimeout):
        session.compute([Output(count())], timeout=0.4)
    assert len(waits) == 1
    assert waits[0] == pytest.approx(0.1) or waits[0] < 0.1
