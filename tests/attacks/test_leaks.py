"""Errors, descriptions, names and durations reveal nothing that a client may not see."""

from __future__ import annotations

import logging
import statistics

import celery
import pytest
from django.core.exceptions import ValidationError

from django_rpc.celery import task
from django_rpc.celery.app import make_app
from django_rpc.demo.server.shop.models import Customer, Order
from django_rpc.server import ModelRpc
from django_rpc.server.errors.reports import report

from .conftest import expr, method, ref, written

CUSTOMERS = ["source", "shop.Customer"]
DAY = {"$date": "2024-01-01"}
FIRST = ["literal", {"$instance": ["shop.Customer", 1]}]
#: Names of Python and Django on instances, managers and querysets.
INTERNAL = (
    "__class__ __dict__ __init__ __globals__ _meta _state _default_manager objects save_base full_clean from_db delete "
    "get_deferred_fields query _result_cache db model pk.__class__ name.upper refresh_from_db DoesNotExist"
).split()


@pytest.fixture(autouse=True)
def rows(shop_data):
    pass


@pytest.mark.parametrize("name", INTERNAL)
def test_internal_names_are_unknown_names(send, name):
    """As an attribute, as a method that is called, and as one of the closed vocabulary."""
    for make in (
        lambda n: [FIRST, ["attr", 0, n]],
        lambda n: [CUSTOMERS, ["call", 0, n, [], {}]],
        lambda n: [FIRST, ["call", 0, n, [], {}]],
        lambda n: [CUSTOMERS, method(0, n)],
        lambda n: [["function", n, [], {}, False]],
    ):
        there, nowhere = send(make(name)), send(make("nope" if name.isidentifier() and name[0] != "_" else "_nope"))
        if make(name)[-1][0] == "method" and name == "delete":
            continue  # which is a method of the vocabulary
        assert there.code == nowhere.code, there.text
        assert there.data_statements == nowhere.data_statements or there.code == "AttributeError"


@pytest.mark.parametrize("nodes", [
    [CUSTOMERS, method(0, "create", name="x", email="clara.egorov.1@example.com", city="x", joined=DAY)],
    [CUSTOMERS, method(0, "annotate", x=expr("Cast", "name", output_field=expr("UUIDField"))), method(1, "first")],
    [CUSTOMERS, method(0, "filter", name__regex="("), method(1, "count")],
    [CUSTOMERS, method(0, "filter", id=10**40)],
    [CUSTOMERS, method(0, "create", name=expr("F", "city"))],
    [CUSTOMERS, method(0, "aggregate", x=expr("Sum", expr("Count", "orders")))],
    [CUSTOMERS, method(0, "filter", orders=ref(0)), method(1, "count")],
])  # fmt: skip
def test_errors_hold_nothing_of_the_service(send, nodes):
    answered = send(nodes)
    for part in ("SELECT", "INSERT", "shop_customer", "UNIQUE", "duplicate key", "Traceback", "/", "sqlite", "psycopg"):
        assert part not in answered.text.partition('"outputs"')[2], answered.text


def test_an_error_of_a_file_holds_no_path():
    told = report(FileNotFoundError(2, "No such file", "/srv/of-the-service/secret.txt"))
    assert "/srv" not in told.message


class TellingRpc(ModelRpc):
    fields = ["id", "name", "email", "city", "joined"]
    operations = {"read", "create", "update"}


def saving(monkeypatch, save):
    monkeypatch.setattr(Customer, "save", save)
    yield from (
        [["save", "shop.Customer", {"id": 1, "email": "x@example.org"}, False, {}]],
        [CUSTOMERS, method(0, "get", pk=1), method(1, "save")],
        [CUSTOMERS, method(0, "create", name="x", email="x@example.org", city="x", joined=DAY)],
    )


def test_model_errors_do_not_name_hidden_fields(send, registered, monkeypatch):
    """full_clean() names each field that is wrong, and each of those that are unique together."""
    registered(Customer, TellingRpc)
    taken = {
        "model": Customer(name="Name of another"),
        "model_class": Customer,
        "unique_check": ("name", "secret_note"),
    }
    errors = {
        "secret_note": ["Secret note is wrong."],
        "email": ["Is taken."],
        "__all__": [ValidationError("With this Name and Secret note: %(model)s.", params=taken)],
    }

    def save(self, *args, **kwargs):
        raise ValidationError(errors)

    for nodes in saving(monkeypatch, save):
        answered = send(nodes)
        assert answered.code == "ValidationError"
        assert set(answered.error["data"]) == {"email", "__all__"}
        assert answered.error["data"]["email"] == [["Is taken.", None, None]]
        for told in ("secret", "Secret", "Name of another", "demo.server"):
            assert told not in answered.text, answered.text


def test_default_ordering_does_not_leak(send, registered):
    """Hidden fields of Meta are as if they were not there: no order by them, and no word of them."""
    registered(Order, fields=["id", "number", "customer"])
    orders = ["source", "shop.Order"]
    for name in ("latest", "earliest"):
        for nodes in (
            [orders, method(0, name)],
            [CUSTOMERS, method(0, "get", pk=1), ["attr", 1, "orders"], method(2, name)],
            [CUSTOMERS, ["param", 0], ["attr", 1, "orders"], method(2, name), ["map", 0, 1, 3, True]],
        ):
            answered = send(nodes)
            assert "created" not in answered.text, answered.text
            assert "require either fields" in answered.text
        assert send([orders, method(0, name, "number")]).error is None
    assert send([orders, method(0, "values_list", "id", flat=True)]).output == sorted(
        Order.objects.values_list("pk", flat=True), reverse=True
    )


def test_a_model_that_a_model_needs(send, registered, monkeypatch):
    from django.contrib.auth.models import User

    registered(Customer, TellingRpc)

    def save(self, *args, **kwargs):
        User.objects.get(pk=12345)

    for nodes in saving(monkeypatch, save):
        answered = send(nodes)
        assert answered.code == "DoesNotExist"
        assert "User" not in answered.text
        assert "auth" not in answered.text


def test_a_description_names_nothing_hidden(send, registered):
    class NarrowRpc(ModelRpc):
        fields = ["id", "name"]

    registered(Customer, NarrowRpc)
    for labels in ([], ["shop.Customer"], ["shop.Customer", "auth.User"]):
        text = send([["schema", labels]]).text
        assert "secret_note" not in text
        assert "auth.User" not in text
        assert '"credit"' not in text
    (described,) = [
        one for one in send([["schema", ["shop.Customer"]]]).output["models"] if one["model"] == "shop.Customer"
    ]
    assert {field["name"] for field in described["fields"]} == {"id", "name"}


def test_sql_is_not_shown(send, settings_of_server):
    settings_of_server(SHOW_SQL=False, CLIENTS={"anonymous": {}})
    count = [CUSTOMERS, method(0, "count")]
    assert "trace" not in send(count, trace=True).answer
    for asking in ("profile", "explain"):
        assert "SELECT" not in send(count, asking=asking, trace=True).text
    assert send([CUSTOMERS, method(0, "explain")]).code == "NotSupportedError"


def test_hidden_and_unknown_take_the_same_time(send):
    """No query for either; the times are of one kind."""
    times = {}
    for name in ("secret_note", "secret_nope"):
        answers = [send([CUSTOMERS, method(0, "filter", **{name: "x"}), method(1, "count")]) for _ in range(60)]
        assert not any(answered.statements for answered in answers)
        times[name] = statistics.median(answered.seconds for answered in answers)
    assert 0.4 < times["secret_note"] / times["secret_nope"] < 2.5


def test_log_record_is_one_line(send, caplog):
    for name in ("", "django_rpc", "django_rpc.server", "django_rpc.audit"):
        caplog.set_level(logging.DEBUG, name)
    evil = "x\n2026-01-01 ERROR forged\x1b[31m\u202e"
    claims = {"host": evil, "name": evil, "process": 1, "called_at": 0}
    send(written([CUSTOMERS, method(0, "get", pk=-1)], client=claims))
    send(written([CUSTOMERS, method(0, "nope")], client=claims))
    send(b"nonsense", None, evil)
    send(b"nonsense", evil, evil)
    assert caplog.records
    for record in caplog.records:
        if record.name.startswith("django_rpc"):
            assert "\n" not in record.getMessage()
            for value in vars(record).values():
                assert not isinstance(value, str) or ("forged\x1b" not in value and len(value) < 5_000)


# Inputs through Celery


class Envelope:
    """The context of a task as a worker makes it of a message's headers."""

    is_eager = True
    delivery_info = None
    headers = None

    def __init__(self, **given):
        self.id = "t-1"
        self.callbacks = self.errbacks = self.chain = self.chord = None
        vars(self).update(given)


@pytest.mark.parametrize("name", ["callbacks", "errbacks", "chain", "chord"])
def test_foreign_tasks_in_the_envelope(name):
    envelope = Envelope(**{name: [{"task": "os.system", "args": ["true"]}]})
    sending = task._answer(envelope, written([CUSTOMERS, method(0, "delete")]).decode(), None, None)
    assert b"BadRequest" in sending.answer
    assert getattr(envelope, name) is None
    assert Customer.objects.exists()


def test_worker_registers_only_its_tasks():
    """No task of a project, which every app of a process registers, and no task by which Celery runs others."""

    @celery.shared_task(name="tests.attacks.pay_out")
    def pay_out():
        return "paid"

    made = make_app({"BROKER_URL": "memory://"})
    assert set(made.tasks) == {"django_rpc.call", "django_rpc.prune", "celery.backend_cleanup"}

    @celery.shared_task(name="tests.attacks.pay_out_later")
    def pay_out_later():
        return "paid"

    assert "tests.attacks.pay_out_later" not in made.tasks


@pytest.mark.parametrize("text", [None, 5, ["x"], {"a": 1}, "\ud800", "", "\0"])
def test_message_that_is_no_text(text):
    sending = task._answer(Envelope(), text, None, None)
    sending.finish()
    assert b'"code":"BadMessage"' in sending.answer


@pytest.mark.parametrize(
    "key", ["celery", "django_rpc:reply:of-another", "unacked", "django_rpc:reply:t-1\n", "", None, 5]
)
def test_reply_list_belongs_to_its_request(key):
    lists = task._ReplyListsOfApp(None, "redis://nowhere/")
    assert lists.of("t-1", key) is None
    assert lists.of("t 1\r\nFLUSHALL", "django_rpc:reply:t 1\r\nFLUSHALL") is None
    assert lists.of("t-1", "django_rpc:reply:t-1") is not None


_ROW = {"$instance": ["shop.Customer", {"id": 1}]}
_PLACES = {
    "filter": method(0, "filter", credit=_ROW),
    "filter by a text": method(0, "filter", name=_ROW),
    "exclude": method(0, "exclude", joined=_ROW),
    "get": method(0, "get", active=_ROW),
    "in": method(0, "filter", id__in=[_ROW]),
    "range": method(0, "filter", credit__range=[_ROW, 5]),
    "contains": method(0, "filter", name__contains=_ROW),
    "order_by": method(0, "order_by", _ROW),
    "annotate": method(0, "annotate", x=_ROW),
    "aggregate": method(0, "aggregate", x=_ROW),
    "alias": method(0, "alias", x=_ROW),
    "in_bulk": method(0, "in_bulk", [_ROW]),
    "values": method(0, "values", _ROW),
    "distinct": method(0, "distinct", _ROW),
    "dates": method(0, "dates", _ROW, "year"),
    "update": method(0, "update", credit=_ROW),
    "create": method(0, "create", name="x", email="x@example.org", city="x", joined=_ROW),
    "slice": ["item", 0, _ROW],
    **{
        f"Value as {field}": method(0, "annotate", x=expr("Value", _ROW, output_field=expr(field)))
        for field in (
            "DecimalField",
            "UUIDField",
            "BooleanField",
            "CharField",
            "IntegerField",
            "DateField",
            "JSONField",
        )
    },
    "Concat": method(0, "annotate", x=expr("Concat", "name", expr("Value", _ROW))),
    "Sum": method(0, "aggregate", x=expr("Sum", _ROW)),
    "F": method(0, "annotate", x=expr("F", _ROW)),
    "lookup": method(0, "filter", expr("lookup:exact", expr("F", "credit"), _ROW)),
}


@pytest.mark.parametrize("node", _PLACES.values(), ids=_PLACES)
def test_an_instance_in_any_place_is_no_text(send, node):
    """Neither its class nor its model converts it to text in an error."""
    secret = Customer.objects.get(pk=1).name
    for nodes in ([CUSTOMERS, node], [CUSTOMERS, node, method(1, "count")], [CUSTOMERS, node, method(1, "explain")]):
        answered = send(nodes)
        error = answered.text.partition('"error":')[2]
        assert secret not in error, error
        assert "<Customer" not in error, error
        assert "Customer object" not in error, error
