"""Texts of errors that reach a client are made of templates, and never the text of the exception."""

from __future__ import annotations

import pytest
from django.core.exceptions import FieldError, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, OperationalError

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import Function, Item, Operator
from django_rpc.server import ModelRpc, public_error
from django_rpc.server.errors.reports import report
from tests.server.conftest import call, method, source

CUSTOMERS = source("shop.Customer")
SECRET = "the secret of 4711"


class PaymentRefused(Exception):
    pass


@public_error
class OutOfStock(Exception):
    pass


class PublicByAttribute(ValueError):
    safe_message = True


class SubclassOfPublic(OutOfStock):
    pass


class _TextThatRuns:
    """Object that must never be converted to text."""

    def __str__(self):
        raise AssertionError("The text of a foreign object was made.")

    __repr__ = __str__


def _with_cause(error):
    error.__cause__ = RuntimeError(SECRET)
    return error


_WITHHELD = {
    "class of the project": PaymentRefused(SECRET),
    "ValueError": ValueError(SECRET),
    "TypeError": TypeError(SECRET),
    "KeyError": KeyError(SECRET),
    "AttributeError": AttributeError(SECRET),
    "LookupError": LookupError(SECRET),
    "RuntimeError": RuntimeError(SECRET),
    "AssertionError": AssertionError(SECRET),
    "NotImplementedError": NotImplementedError(SECRET),
    "FieldError": FieldError(SECRET),
    "PermissionDenied": PermissionDenied(SECRET),
    "DoesNotExist": Customer.DoesNotExist(SECRET),
    "MultipleObjectsReturned": Customer.MultipleObjectsReturned(SECRET),
    "IntegrityError": IntegrityError(SECRET),
    "IntegrityError of a driver": _with_cause(IntegrityError(SECRET)),
    "DataError": DataError(SECRET),
    "OperationalError": OperationalError(SECRET),
    "OSError": OSError(2, "No such file", SECRET),
    "UnicodeError": UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    "keyword that the client did not send": FieldError(f"Cannot resolve keyword '{SECRET}' into field. Choices are: x"),
    "word that the client did not send": FieldError("Cannot resolve keyword 'secret_note' into field. Choices are: x"),
    "value that the client did not send": ValueError("Field 'id' expected a number but got 'the secret of 4711'."),
    "text in place of a type": TypeError(f"unsupported operand type(s) for +: 'int' and '{SECRET}'"),
    "number that the client did not send": ValueError("invalid literal for int() with base 10: '4711'"),
    "text around a template": ValueError(f"division by zero {SECRET}"),
    "lines around a template": ValueError(f"division by zero\n{SECRET}"),
    "object": ValueError(_TextThatRuns()),
    "object of a KeyError": KeyError(_TextThatRuns()),
    "several arguments": ValueError("division by zero", SECRET),
    "text of a subclass": type("Sub", (ValueError,), {"__str__": lambda self: SECRET})("division by zero"),
}


@pytest.mark.parametrize("error", _WITHHELD.values(), ids=_WITHHELD)
@pytest.mark.parametrize("where", ["method", "computed", "save", "scope"])
def test_text_of_an_exception_is_withheld(ask, registered, shop_data, monkeypatch, error, where):
    def fail(*args, **kwargs):
        raise error

    class FailingRpc(ModelRpc):
        fields = ["id", "name", "email", "city", "joined", "broken"]
        operations = {"read", "create", "update"}
        methods = ["fail"]

        def broken(self, request, instance):
            fail()

        def fail(self, request, queryset):
            fail()

        if where == "scope":

            def get_queryset(self, request):
                fail()

    registered(Customer, FailingRpc)
    if where == "save":
        monkeypatch.setattr(Customer, "save", fail)
    node = {
        "method": lambda: call(CUSTOMERS, "fail"),
        "computed": lambda: method(CUSTOMERS, "get", pk=1),
        "save": lambda: method(CUSTOMERS, "create", name="x", email="x@example.org", city="x", joined="2025-01-01"),
        "scope": lambda: method(CUSTOMERS, "count"),
    }[where]()
    told = ask(node).error
    assert told is not None
    assert "secret" not in repr(told)
    assert "4711" not in repr(told)
    assert told.message
    assert told.traceback is None


@pytest.mark.parametrize(
    "error", [OutOfStock("no stock"), SubclassOfPublic("no stock"), PublicByAttribute("no stock"),
              public_error(ValueError("no stock")), public_error(PermissionDenied("no stock"))],
)  # fmt: skip
def test_text_of_a_public_error_is_sent(ask, registered, error):
    class FailingRpc(ModelRpc):
        fields = ["id"]
        methods = ["fail"]

        def fail(self, request, queryset):
            raise error

    registered(Customer, FailingRpc)
    assert ask(call(CUSTOMERS, "fail")).error.message == "no stock"


def test_a_mark_is_for_the_marked_exception_alone():
    public_error(ValueError("no stock"))
    assert "secret" not in report(ValueError(SECRET)).message
    assert "secret" not in report(PaymentRefused(SECRET)).message


def test_withheld_text_is_in_the_log(ask, registered, caplog):
    class FailingRpc(ModelRpc):
        fields = ["id"]
        methods = ["fail"]

        def fail(self, request, queryset):
            raise ValueError(SECRET)

    registered(Customer, FailingRpc)
    answered = ask(call(CUSTOMERS, "fail"), request_id="t-withheld")
    assert "log" in answered.error.message
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.rpc_request == "t-withheld"
    assert SECRET in str(record.exc_info[1])


def test_show_traceback_sends_the_full_text(ask, registered, settings_of_server):
    class FailingRpc(ModelRpc):
        fields = ["id"]
        methods = ["fail"]

        def fail(self, request, queryset):
            raise ValueError(SECRET)

    registered(Customer, FailingRpc)
    settings_of_server(SHOW_TRACEBACK=True)
    told = ask(call(CUSTOMERS, "fail")).error
    assert told.message == SECRET
    assert SECRET in told.traceback


_SLICE = slice(0, 3)


def _sliced():
    return Item(parent=CUSTOMERS, key=_SLICE)


_DJANGO = {
    "unknown keyword": (
        lambda: method(CUSTOMERS, "filter", nmae="x"),
        "FieldError", "Cannot resolve keyword 'nmae' into field. Choices are: ",
    ),
    "number": (
        lambda: method(CUSTOMERS, "filter", id="abc"),
        "ValueError", "Field 'id' expected a number but got 'abc'.",
    ),
    "number in a list": (
        lambda: method(CUSTOMERS, "filter", id__in=["abc", 5]),
        "ValueError", "Field 'id' expected a number but got 'abc'.",
    ),
    "slice": (
        lambda: method(_sliced(), "filter", id=1),
        "TypeError", "Cannot filter a query once a slice has been taken.",
    ),
    "lookup": (
        lambda: method(method(CUSTOMERS, "filter", id__nope=1), "count"),
        "FieldError", "Unsupported lookup 'nope' for BigAutoField or join on the field not permitted.",
    ),
    "get": (
        lambda: method(CUSTOMERS, "get", pk=-1),
        "DoesNotExist", "Customer matching query does not exist.",
    ),
    "several": (
        lambda: method(CUSTOMERS, "get"),
        "MultipleObjectsReturned", "get() returned more than one Customer -- it returned more than 20!",
    ),
    "operands": (
        lambda: Operator(name="add", args=(method(CUSTOMERS, "count"), "x")),
        "TypeError", "unsupported operand type(s) for +: 'int' and 'str'",
    ),
    "division": (
        lambda: Operator(name="truediv", args=(method(CUSTOMERS, "count"), 0)),
        "ZeroDivisionError", "division by zero",
    ),
    "unknown function": (
        lambda: Function(name="nope", service="rpc"),
        "UnknownFunction", "This service has no function 'nope'. There are: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code", "text"), _DJANGO.values(), ids=_DJANGO)
def test_text_of_template_is_rebuilt(ask, shop_data, make, code, text):
    told = ask(make()).error
    assert (told.code, told.message[: len(text)]) == (code, text)


def test_validation_params_that_are_objects_are_not_texts(ask, registered):
    class FailingRpc(ModelRpc):
        fields = ["id"]
        methods = ["fail"]

        def fail(self, request, queryset):
            params = {"row": Customer(name=SECRET), "other": _TextThatRuns(), "rows": [Customer(name=SECRET)]}
            raise ValidationError("%(row)s and %(other)s and %(rows)s", params=params)

    registered(Customer, FailingRpc)
    told = ask(call(CUSTOMERS, "fail")).error
    assert told.message == "... and ... and ..."
    assert "secret" not in repr(told)


@pytest.mark.parametrize("params", [(Customer(name=SECRET),), [_TextThatRuns()], Customer(name=SECRET)])
def test_validation_params_without_names_that_are_objects_replace_the_message(params):
    told = report(ValidationError("about %s", params=params))
    assert told.message == "The service does not take these values."
    assert "secret" not in repr(told)


@pytest.mark.parametrize("message", [_TextThatRuns(), Customer(name=SECRET), object()])
def test_validation_message_that_is_an_object_is_replaced(message):
    told = report(ValidationError(message))
    assert told.message == "The service does not take these values."
    assert "secret" not in repr(told)
