"""Errors of constraints name the kind of the constraint and its fields, and neither tables nor values."""

from __future__ import annotations

import pytest
from django.db import DataError, IntegrityError, connection

from django_rpc.demo.server.shop.models import Category, Customer, Line, Order, Profile
from django_rpc.demo.server.zoo.models import Booking, ColumnNames, NaturalKey, Price, Seat
from django_rpc.server import ModelRpc
from django_rpc.server.errors.constraints import find_constraint
from tests.server.conftest import call, method, source


def label(model):
    return source(model._meta.label)


def _seat_twice(queryset):
    queryset.create(row="A", number=7)
    queryset.create(row="A", number=7)


def _booking_twice(queryset):
    seat = Seat.objects.create(row="B", number=7)
    queryset.create(seat=seat, day="2025-01-01", name="Ada")
    queryset.create(seat=seat, day="2025-01-01", name="Bea")


_BROKEN = {
    "unique": (
        Customer, lambda rows: rows.filter(pk=1).update(email=rows.get(pk=2).email), "unique", ["email"],
    ),
    "unique one-to-one": (
        Profile, lambda rows: rows.create(customer_id=Profile.objects.first().customer_id), "unique", ["customer"],
    ),
    "unique together": (Seat, _seat_twice, "unique", ["row", "number"]),
    "unique constraint": (Booking, _booking_twice, "unique", ["seat", "day"]),
    "unique primary key": (
        NaturalKey, lambda rows: rows.bulk_create([NaturalKey(pk="new-key"), NaturalKey(pk="new-key")]),
        "unique", ["pk"],
    ),
    "not null": (Customer, lambda rows: rows.filter(pk=1).update(city=None), "not null", ["city"]),
    "not null foreign key": (Order, lambda rows: rows.filter(pk=1).update(customer=None), "not null", ["customer"]),
    "not null with a column name": (
        ColumnNames, lambda rows: rows.bulk_create([ColumnNames(first=None)]), "not null", ["first"],
    ),
    "check of a field": (Line, lambda rows: rows.filter(pk=1).update(quantity=-5), "check", ["quantity"]),
    "foreign key": (Order, lambda rows: rows.filter(pk=1).update(customer_id=987654), "foreign key", ["customer"]),
    "foreign key with a column name": (
        Price, lambda rows: rows.create(currency_id="XXX", amount=1), "foreign key", ["currency"],
    ),
}  # fmt: skip


@pytest.fixture
def refused(ask, registered, shop_data):
    """``refused(model, write, **options)``: the error of a registered method that runs ``write``."""

    def send(model, write, **options):
        def run(self, request, queryset):
            write(model.objects.all())
            if connection.vendor == "sqlite":
                connection.check_constraints()

        registered(
            model, type("BreakingRpc", (ModelRpc,), {"fields": "__all__", "methods": ["run"], "run": run, **options})
        )
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return ask(call(label(model), "run")).error

    return send


@pytest.mark.parametrize(("model", "write", "kind", "fields"), _BROKEN.values(), ids=_BROKEN)
def test_kind_and_fields_of_a_constraint(refused, model, write, kind, fields):
    told = refused(model, write)
    if kind == "check" and connection.vendor == "mysql":  # its column is unsigned
        assert (told.code, told.data) == ("DataError", {"kind": "range", "fields": fields})
        return
    expected = [model._meta.pk.name] if fields == ["pk"] else fields
    assert (told.code, told.data) == ("IntegrityError", {"kind": kind, "fields": expected})
    assert kind in told.message
    assert ", ".join(map(repr, expected)) in told.message
    for word in (model._meta.db_table, "Key (", "constraint failed", "987654", "XXX", "new-key", "@example"):
        assert word not in repr(told)


@pytest.mark.parametrize("name", ["unique", "not null", "check of a field", "unique constraint"])
def test_hidden_fields_are_not_named(refused, name):
    model, write, kind, fields = _BROKEN[name]
    told = refused(model, write, fields=[model._meta.pk.name])
    is_unsigned = kind == "check" and connection.vendor == "mysql"
    assert told.code == ("DataError" if is_unsigned else "IntegrityError")
    assert told.data == {"kind": "range" if is_unsigned else kind, "fields": []}
    assert not any(field in repr(told) for field in fields)


def test_fields_of_a_hidden_model_are_not_named(refused, unregistered):
    unregistered(Category)

    def write(rows):
        Category.objects.create(title="new title")
        Category.objects.create(title="new title")

    told = refused(Customer, write)
    assert (told.code, told.data["fields"]) == ("IntegrityError", [])
    assert "title" not in repr(told)


def test_a_value_that_is_too_long_or_large(refused):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite takes values of any length")
    told = refused(Customer, lambda rows: rows.filter(pk=1).update(city="x" * 500))
    assert (told.code, told.data["kind"]) == ("DataError", "length")
    assert told.data["fields"] == (["city"] if connection.vendor == "mysql" else [])
    told = refused(Line, lambda rows: rows.filter(pk=1).update(quantity=2**40))
    assert (told.code, told.data["kind"]) == ("DataError", "range")


class Diagnosis:
    """Diagnosis of PostgreSQL."""

    def __init__(self, constraint_name=None, table_name=None, column_name=None, message_detail=None):
        self.constraint_name, self.table_name = constraint_name, table_name
        self.column_name, self.message_detail = column_name, message_detail


def of_postgresql(state, **diagnosis):
    cause = RuntimeError("ERROR: a text of the driver")
    cause.sqlstate, cause.diag = state, Diagnosis(**diagnosis)
    return cause


_LINE = Line._meta.db_table
_DRIVERS = {
    "PostgreSQL unique": (
        of_postgresql("23505", table_name=_LINE, message_detail="Key (order_id, product_id)=(1, 2) already exists."),
        ("unique", ["order", "product"]),
    ),
    "PostgreSQL unique in another language": (
        of_postgresql("23505", table_name=_LINE, message_detail="Schlüssel »(order_id)=(1)« existiert bereits."),
        ("unique", ["order"]),
    ),
    "PostgreSQL value that looks like a key": (
        of_postgresql("23505", table_name=_LINE, message_detail="Key (price)=((order_id)=(5)) already exists."),
        ("unique", ["price"]),
    ),
    "PostgreSQL unique without details": (
        of_postgresql("23505", table_name=_LINE, constraint_name="shop_line_once_an_order"),
        ("unique", ["order", "product"]),
    ),
    "PostgreSQL exclusion": (
        of_postgresql(
            "23P01", table_name=_LINE, message_detail="Key (quantity)=(1) conflicts with existing key (quantity)=(1)."
        ),
        ("exclusion", ["quantity"]),
    ),
    "PostgreSQL check": (
        of_postgresql("23514", table_name=_LINE, constraint_name=f"{_LINE}_quantity_check"), ("check", ["quantity"]),
    ),
    "PostgreSQL referenced row": (
        of_postgresql(
            "23503", table_name=_LINE, message_detail='Key (id)=(5) is still referenced from table "shop_line".'
        ),
        ("foreign key", []),
    ),
    "PostgreSQL unknown table": (
        of_postgresql("23505", table_name="nowhere", message_detail="Key (id)=(5) already exists."), ("unique", []),
    ),
    "MySQL unique": (
        RuntimeError(1062, "Duplicate entry '1-2' for key 'shop_line.shop_line_once_an_order'"),
        ("unique", ["order", "product"]),
    ),
    "MySQL value that looks like a key": (
        RuntimeError(1062, "Duplicate entry 'x' for key 'price' for key 'shop_line.shop_line_once_an_order'"),
        ("unique", ["order", "product"]),
    ),
    "MySQL primary key": (RuntimeError(1062, "Duplicate entry '1' for key 'shop_line.PRIMARY'"), ("unique", ["id"])),
    "MySQL check": (RuntimeError(3819, "Check constraint 'quantity' is violated."), ("check", ["quantity"])),
    "MySQL not null": (RuntimeError(1048, "Column 'order_id' cannot be null"), ("not null", ["order"])),
    "MySQL no default": (RuntimeError(1364, "Field 'order_id' doesn't have a default value"), ("not null", ["order"])),
    "MySQL referenced row": (
        RuntimeError(1451, "Cannot delete or update a parent row: a foreign key constraint fails (`d`.`shop_line`, "
                           "CONSTRAINT `c` FOREIGN KEY (`order_id`) REFERENCES `shop_order` (`id`))"),
        ("foreign key", ["order"]),
    ),
    "SQLite foreign key at the end": (RuntimeError("FOREIGN KEY constraint failed"), ("foreign key", [])),
    "SQLite index": (RuntimeError("UNIQUE constraint failed: index 'by_lower'"), ("unique", [])),
    "SQLite check": (RuntimeError('CHECK constraint failed: "quantity" >= 0'), ("check", ["quantity"])),
    "unknown": (RuntimeError("no known text"), ("", [])),
    "unknown number": (RuntimeError(9999, "no known text"), ("", [])),
}  # fmt: skip


@pytest.mark.parametrize(("cause", "expected"), _DRIVERS.values(), ids=_DRIVERS)
def test_driver_error_formats(cause, expected):
    error = IntegrityError("text")
    error.__cause__ = cause
    found = find_constraint(error, [Line])
    assert (found.kind, [] if found.model is None else found.names) == expected


def test_an_error_without_a_driver_has_no_kind():
    assert find_constraint(IntegrityError("text"), [Line]).kind == ""
    assert find_constraint(DataError("text"), []).kind == ""


def test_a_row_of_many(ask, shop_data):
    """A row that is there already, by a request of the client."""
    taken = Customer.objects.get(pk=1)
    values = {"name": "x", "email": taken.email, "city": "x", "joined": taken.joined}
    told = ask(method(label(Customer), "create", **values)).error
    assert told.data == {"kind": "unique", "fields": ["email"]}
    assert told.message == "The database refused the write: the unique constraint of 'email' does not hold."
