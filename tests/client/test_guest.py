"""A good guest: other people's Celery, other people's processes."""

import pytest

import django_rpc.server
from django_rpc import errors
from django_rpc.celery import register
from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.transport.fork_safety import Pool
from django_rpc.wire.codec import decode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Response

EAGER = {"CELERY": {"task_always_eager": True}}
COUNT = Output(Method(parent=ModelSource(model="shop.Order", service="rpc"), name="count"))


def test_the_client_needs_no_django_and_is_nobodys_app(run_python):
    run_python(
        """
import sys
sys.modules["django"] = None  # not installed
from celery import _state
from django_rpc.client.session import Session
from django_rpc.transport.registry import transport_for

for backend in ("redis://127.0.0.1/", "rpc://", "cache+memory://"):
    transport_for(Session({"BROKER_URL": "memory://", "RESULT_BACKEND": backend}).config)
assert _state.default_app is None
assert _state._tls.current_app is None
""",
        env={"DJANGO_SETTINGS_MODULE": ""},
    )


def test_importing_the_workers_app_makes_it_nobodys_default(run_python):
    run_python(
        """
from celery import Celery, _state, current_app, shared_task
import django_rpc.celery.app

assert _state.default_app is None and _state._tls.current_app is None
project = Celery("project")

@shared_task
def theirs():
    return 1

assert current_app._get_current_object() is project
assert theirs.app is project
""",
        env={"DJANGO_SETTINGS_MODULE": "django_rpc.demo.both_settings"},
    )


@pytest.fixture
def handle(monkeypatch):
    """``handle(function)``: the server answers with the Response that the function makes of a Request."""

    def use(function):
        monkeypatch.setattr(
            django_rpc.server,
            "serve",
            lambda message, *beside: django_rpc.server.Sending(
                encode_response(function(decode_request(message))), lambda: None
            ),
            raising=False,
        )

    return use


def test_eager_mode_uses_wire_bytes(handle):
    seen = []

    def answer(request):
        seen.append(request)
        return Response(id=request.id, outputs=(7,))

    handle(answer)
    session = Session(EAGER)
    assert session.compute([COUNT]) == [7]
    [future] = session.submit([COUNT])
    assert future.done()
    assert future.result() == 7
    assert not future.cancel()
    assert len(seen) == 2
    assert seen[0].nodes[0].model == "shop.Order"


def test_an_error_of_the_server_in_eager_mode(handle):
    report = ErrorReport(code="PermissionDenied", message="no", node=1)
    handle(lambda request: Response(id=request.id, error=report))
    with pytest.raises(errors.PermissionDenied) as caught:
        Session(EAGER).compute([COUNT])
    assert caught.value.rpc_node == "Order.objects.count()"


def test_server_defect_is_answered_without_details(monkeypatch, caplog):
    def defect(message, *beside):
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr(django_rpc.server, "serve", defect, raising=False)
    with pytest.raises(errors.RemoteError) as caught:
        Session(EAGER).compute([COUNT])
    assert "1234" not in str(caught.value)
    assert "1234" in caplog.text  # the log of the service


def test_the_workers_application_speaks_json_only():
    from django_rpc.celery.app import app, celery, make_app

    assert app is celery
    assert app.conf.accept_content == app.conf.result_accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.result_serializer == "json"
    pickle = make_app({"CELERY": {"accept_content": ["json", "pickle"], "task_serializer": "pickle"}})
    assert pickle.conf.accept_content == ["json"]
    assert pickle.conf.task_serializer == "json"


def test_worker_prefers_priority_queue():
    from django_rpc.celery.app import make_app

    app = make_app({"BROKER_URL": "redis://", "DEFAULT_QUEUE_NAME": "a", "PRIORITY_QUEUE_NAME": "b"})
    assert [queue.name for queue in app.amqp.queues.consume_from.values()] == ["b", "a"]
    one = make_app({"BROKER_URL": "redis://", "DEFAULT_QUEUE_NAME": "a", "PRIORITY_QUEUE_NAME": "a"})
    assert list(one.amqp.queues.consume_from) == ["a"]
    task = app.tasks["django_rpc.call"]
    assert task.acks_late
    assert "django_rpc.call" in app.tasks


def test_a_mistake_in_the_servers_settings_names_them():
    from django_rpc.celery.app import make_app

    with pytest.raises(errors.ImproperSettings, match=r"DJANGO_RPC has no 'BROKER_ULR'; did you mean 'BROKER_URL'"):
        make_app({"BROKER_ULR": "redis://"})


def test_register_leaves_the_projects_app_as_it_is():
    from celery import Celery

    project = Celery("project", broker="memory://", set_as_current=False)
    other = Celery("other", broker="memory://", set_as_current=False)
    before = project.conf.humanize()
    task = register(project)
    assert project.tasks["django_rpc.call"].name == task.name
    assert project.conf.humanize() == before
    assert "django_rpc.call" not in other.tasks


def test_pool_after_fork():
    pool = Pool(object)
    first = pool.take()
    pool.give(first)
    kept = pool.after_fork()
    assert list(kept) == [first]
    assert pool.take() is not first


def test_tracing_tools_see_the_message_before_it_is_sent():
    """Celery's signals are sent as for any message, and receivers may add headers."""
    from celery import signals

    from django_rpc.transport.base import Options
    from django_rpc.transport.config import Config
    from django_rpc.transport.publish import Publisher

    told = []

    def before(sender, headers, routing_key, **kwargs):
        headers["traceparent"] = "00-1-1-01"
        told.append((sender, routing_key, headers["id"]))

    signals.before_task_publish.connect(before)
    try:
        publisher = Publisher(Config(broker_url="memory://", result_backend="redis://", default_queue="traced"))
        publisher.publish(b"{}", "7f", Options(5.0), repeatable=True, reply_list="django_rpc:reply:7f")
    finally:
        signals.before_task_publish.disconnect(before)
    assert told == [("django_rpc.call", "traced", "7f")]
    with publisher.app.connection_for_read() as connection, connection.SimpleQueue("traced") as queue:
        message = queue.get(timeout=1)
    assert message.headers["traceparent"] == "00-1-1-01"
    assert message.headers["expires"]
    assert message.payload[:2] == [["{}"], {"reply_to": "django_rpc:reply:7f"}]
