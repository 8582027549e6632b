"""Errors of the service as the exceptions that the client raises."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError
from django.utils import translation
from django.utils.translation import gettext_lazy

from django_rpc.demo.server.shop.models import Customer
from django_rpc.models.errors import build
from django_rpc.models.instances import MirrorResults
from django_rpc.wire.messages import ErrorReport

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

_VALUES = {"name": "New", "email": "new@example.org", "city": "Oslo", "joined": dt.date(2025, 1, 1)}

_RAISED = {
    "one message": lambda: ValidationError("closed"),
    "one message with code and params": lambda: ValidationError("bad %(x)s", "c1", {"x": 5}),
    "a list": lambda: ValidationError(["first", ValidationError("second", code="two")]),
    "a list of one": lambda: ValidationError([ValidationError("bad %(x)s", code="c1", params={"x": 5})]),
    "a dict": lambda: ValidationError({"name": [ValidationError("bad %(x)s", code="c1", params={"x": 5})]}),
    "a dict of several": lambda: ValidationError(
        {"name": ["short", ValidationError("odd", code="odd")], NON_FIELD_ERRORS: ["neither"], "email": "taken"}
    ),
    "params of all kinds": lambda: ValidationError(
        "%(d)s %(when)s %(id)s %(names)s %(n).1f",
        code="kinds",
        params={
            "d": Decimal("1.50"),
            "when": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
            "id": uuid.UUID(int=7),
            "names": ("a", "b"),
            "n": 2.25,
            "nothing": None,
            "map": {"k": [1, True]},
        },
    ),
    "params without names": lambda: ValidationError("%s and %s", params=("a", 5)),
    "a percent sign without params": lambda: ValidationError("100 % sure"),
    "a percent sign with params": lambda: ValidationError("%(n)d %% sure", params={"n": 100}),
}


def _parts(error):
    if hasattr(error, "error_dict"):
        return {name: [_parts(item) for item in items] for name, items in error.error_dict.items()}
    if hasattr(error, "message"):
        return error.message, error.code, error.params
    return [_parts(item) for item in error.error_list]


@pytest.mark.parametrize("make", _RAISED.values(), ids=_RAISED)
@pytest.mark.parametrize("call", ["create", "save", "get_or_create", "update_or_create", "delayed"])
def test_validation_error_arrives_equal(remote, monkeypatch, make, call):
    def save(self, *args, **kwargs):
        raise make()

    monkeypatch.setattr(Customer, "save", save)
    objects = remote.Customer.objects
    calls = {
        "create": lambda: objects.create(**_VALUES),
        "save": lambda: remote.Customer(**_VALUES).save(),
        "get_or_create": lambda: objects.get_or_create(email="new@example.org", defaults=_VALUES),
        "update_or_create": lambda: objects.update_or_create(email="new@example.org", defaults=_VALUES),
        "delayed": lambda: objects.delayed().create(**_VALUES).compute(),
    }
    with pytest.raises(ValidationError) as caught:
        calls[call]()
    expected = make()
    assert _parts(caught.value) == _parts(expected)
    assert caught.value == expected
    assert caught.value.messages == expected.messages
    assert str(caught.value) == str(expected)
    if hasattr(expected, "error_dict"):
        assert caught.value.message_dict == expected.message_dict


def test_lazy_message_and_param_are_translated(remote, monkeypatch):
    def save(self, *args, **kwargs):
        raise ValidationError(gettext_lazy("Enter a valid date."), params={"label": gettext_lazy("Monday")})

    monkeypatch.setattr(Customer, "save", save)
    with translation.override("de"), pytest.raises(ValidationError) as caught:
        remote.Customer.objects.create(**_VALUES)
    assert caught.value.messages == ["Bitte ein gültiges Datum eingeben."]
    assert caught.value.params == {"label": "Montag"}


def test_validation_error_of_the_services_full_clean(remote, monkeypatch):
    save = Customer.save

    def save_clean(self, *args, **kwargs):
        self.full_clean()
        save(self, *args, **kwargs)

    monkeypatch.setattr(Customer, "save", save_clean)
    values = {**_VALUES, "name": "x" * 101, "tier": "none"}
    with pytest.raises(ValidationError) as caught:
        remote.Customer.objects.create(**values)
    with pytest.raises(ValidationError) as expected:
        Customer(**values).full_clean()
    assert caught.value.message_dict == expected.value.message_dict
    codes = {name: [item.code for item in items] for name, items in caught.value.error_dict.items()}
    assert codes == {"name": ["max_length"], "tier": ["invalid_choice"]}


@pytest.mark.parametrize(
    "data",
    [
        5,
        "text",
        [5],
        [["a"]],
        [[1, 2, 3]],
        {"name": "text"},
        {"name": [["a", None, 5]]},
        [[[]]],
        ["a", 1, None],
        ["%(x)s", None, {"y": 1}],
    ],
)
def test_malformed_validation_data_is_replaced_by_the_message(data):
    report = ErrorReport(code="ValidationError", message="wrong", data=data)
    error = build(MirrorResults("rpc"), report, None)
    assert type(error) is ValidationError
    assert error.messages == ["wrong"]


def test_integrity_error_names_the_constraint(remote, shop_data):
    taken = Customer.objects.get(pk=1).email
    for write in (
        lambda: remote.Customer.objects.create(**{**_VALUES, "email": taken}),
        lambda: remote.Customer(**{**_VALUES, "email": taken}).save(),
        lambda: remote.Customer.objects.filter(pk=2).update(email=taken),
        lambda: remote.Customer.objects.delayed().create(**{**_VALUES, "email": taken}).compute(),
    ):
        with pytest.raises(IntegrityError) as caught:
            write()
        assert (caught.value.constraint_kind, caught.value.fields) == ("unique", ("email",))
        assert "'email'" in str(caught.value)
        assert taken not in str(caught.value)


@pytest.mark.parametrize("data", [None, 5, [], {"kind": 5, "fields": 5}, {"fields": [5, None]}, {"kind": None}])
def test_malformed_data_of_a_constraint(data):
    report = ErrorReport(code="IntegrityError", message="wrong", data=data)
    error = build(MirrorResults("rpc"), report, None)
    assert type(error) is IntegrityError
    assert (str(error), error.constraint_kind, error.fields) == ("wrong", "", ())
