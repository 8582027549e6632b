"""Every way by which a client could learn of a hidden column: refused like an unknown name, with no SQL run.

Each path is tried three times: with both defences (names, and the audit of the compiled query), with the audit
alone, and with none, where it has to succeed: otherwise the test would prove nothing.
"""

from __future__ import annotations

import pytest

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.node import Attr, Column, Insert, Item, Rows, Save
from django_rpc.graph.values import Condition, Expr
from django_rpc.server import audit
from django_rpc.server.policy import Policy

from .conftest import method, source

HIDDEN, UNKNOWN = "secret_note", "secret_nope"


def customers():
    return source("shop.Customer")


def orders():
    return source("shop.Order")


def F(name):
    return Expr("F", (name,))


def text_field():
    return Expr("TextField")


def out(node):
    """The first row of a query, where a value is to be read."""
    return method(node, "first")


#: name -> a function of the field's name; every one reads, compares or orders by the field.
SQL_PATHS = {
    "filter": lambda n: method(method(customers(), "filter", **{f"{n}__startswith": "s"}), "count"),
    "exclude": lambda n: method(method(customers(), "exclude", **{n: "s"}), "count"),
    "exclude reverse": lambda n: method(
        method(source("shop.Product"), "exclude", **{f"orders__customer__{n}": "s"}), "count"
    ),
    "get": lambda n: method(customers(), "get", **{n: "secret of 1"}),
    "filter first": lambda n: method(method(customers(), "filter", **{n: "secret of 1"}), "first"),
    "exists": lambda n: method(method(customers(), "filter", **{f"{n}__contains": "1"}), "exists"),
    "nested pk__in": lambda n: method(
        method(orders(), "filter", customer__in=method(method(customers(), "filter", **{n: "x"}), "values", "pk")),
        "count",
    ),
    "through relation": lambda n: method(method(orders(), "filter", **{f"customer__{n}": "x"}), "count"),
    "through two relations": lambda n: method(
        method(source("shop.Line"), "filter", **{f"order__customer__{n}__gt": "x"}), "count"
    ),
    "reverse relation": lambda n: method(
        method(source("shop.Product"), "filter", **{f"orders__customer__{n}": "x"}), "count"
    ),
    "order_by": lambda n: method(customers(), "order_by", n),
    "order_by descending path": lambda n: method(orders(), "order_by", f"-customer__{n}"),
    "order_by F": lambda n: method(customers(), "order_by", Expr("OrderBy", (F(n),), {"descending": True})),
    "add_ordering": lambda n: method(customers(), "add_ordering", n),
    "default_ordering": lambda n: method(customers(), "default_ordering", n),
    "earliest": lambda n: method(customers(), "earliest", n),
    "latest": lambda n: method(customers(), "latest", n),
    "values": lambda n: method(customers(), "values", n),
    "values alias": lambda n: method(customers(), "values", x=F(n)),
    "values_list distinct": lambda n: method(method(customers(), "values_list", n), "distinct"),
    "annotate F": lambda n: out(method(customers(), "annotate", x=F(n))),
    "annotate Subquery": lambda n: out(
        method(
            orders(),
            "annotate",
            x=Expr(
                "Subquery",
                (
                    Item(
                        parent=method(method(customers(), "filter", pk=Expr("OuterRef", ("customer",))), "values", n),
                        key=slice(0, 1, None),
                    ),
                ),
            ),
        )
    ),
    "alias Substr order_by": lambda n: method(
        method(customers(), "alias", x=Expr("Substr", (n, 1, 2))), "order_by", "x"
    ),
    "aggregate Min": lambda n: method(customers(), "aggregate", x=Expr("Min", (n,))),
    "aggregate Max": lambda n: method(customers(), "aggregate", Expr("Max", (n,))),
    "aggregate filter": lambda n: method(
        customers(), "aggregate", x=Expr("Count", ("pk",), {"filter": Condition(((n, "x"),))})
    ),
    "aggregate over annotation": lambda n: method(
        method(orders(), "annotate", x=F(f"customer__{n}")), "aggregate", y=Expr("Max", ("x",))
    ),
    "F on the right": lambda n: method(method(customers(), "filter", name=F(n)), "count"),
    "Case When": lambda n: out(
        method(
            customers(),
            "annotate",
            x=Expr("Case", (Expr("When", (Condition(((n, "x"),)), Expr("Value", (1,)))),), {}),
        )
    ),
    "When then": lambda n: out(
        method(customers(), "annotate", x=Expr("Case", (Expr("When", (Condition((("pk__gt", 0),)), F(n))),)))
    ),
    "ExpressionWrapper": lambda n: out(
        method(customers(), "annotate", x=Expr("ExpressionWrapper", (F(n),), {"output_field": text_field()}))
    ),
    "Window order_by": lambda n: out(
        method(customers(), "annotate", x=Expr("Window", (Expr("RowNumber"),), {"order_by": [F(n)]}))
    ),
    "Window partition_by": lambda n: out(
        method(customers(), "annotate", x=Expr("Window", (Expr("RowNumber"),), {"partition_by": [F(n)]}))
    ),
    "FilteredRelation": lambda n: method(
        method(
            method(
                orders(),
                "annotate",
                f=Expr("FilteredRelation", ("customer",), {"condition": Condition(((f"customer__{n}", "x"),))}),
            ),
            "filter",
            f__isnull=False,
        ),
        "count",
    ),
    "through FilteredRelation": lambda n: method(
        method(
            method(orders(), "annotate", f=Expr("FilteredRelation", ("customer",), {"condition": Condition(())})),
            "filter",
            **{f"f__{n}": "x"},
        ),
        "count",
    ),
    "Exists OuterRef": lambda n: method(
        method(
            orders(),
            "filter",
            Expr("Exists", (method(customers(), "filter", **{n: Expr("OuterRef", ("number",))}),)),
        ),
        "count",
    ),
    "OuterRef to hidden": lambda n: method(
        method(
            customers(),
            "filter",
            Expr("Exists", (method(orders(), "filter", number__lt=Expr("OuterRef", (n,))),)),
        ),
        "count",
    ),
    "Prefetch queryset": lambda n: method(
        method(
            customers(),
            "prefetch_related",
            Expr("Prefetch", ("orders",), {"queryset": method(orders(), "filter", **{f"customer__{n}": "x"})}),
        ),
        "first",
    ),
    "union arm": lambda n: method(
        method(source("shop.Tag"), "values_list", "name"), "union", method(customers(), "values_list", n)
    ),
    "intersection arm": lambda n: method(
        method(customers(), "values_list", "name"), "intersection", method(customers(), "values_list", n)
    ),
    "and of queries": lambda n: method(method(customers(), "and_", method(customers(), "filter", **{n: "x"})), "count"),
    "get_or_create": lambda n: method(
        customers(), "get_or_create", **{f"{n}__contains": "1"}, defaults={"name": "x", "email": "x@example.org"}
    ),
    "update_or_create": lambda n: method(
        customers(), "update_or_create", **{f"{n}__contains": "1"}, defaults={"city": "x"}
    ),
    "update filtered": lambda n: method(method(customers(), "filter", **{n: "x"}), "update", city="y"),
    "delete filtered": lambda n: method(method(customers(), "filter", **{n: "x"}), "delete"),
    "getset filtered": lambda n: method(method(customers(), "filter", **{n: "x"}), "getset", city="y"),
    "update from F": lambda n: method(customers(), "update", notes=F(n)),
    "update from Subquery": lambda n: method(
        orders(),
        "update",
        status=Expr("Subquery", (Item(parent=method(customers(), "values", n), key=slice(0, 1, None)),), {}),
    ),
    "Q deep": lambda n: method(
        method(customers(), "filter", Condition((Condition((("pk", 0), Condition(((n, "x"),), "AND", True)), "OR"),))),
        "count",
    ),
    "filter_reuse": lambda n: method(method(customers(), "filter_reuse", Condition(((n, "x"),))), "count"),
    "lookup expression": lambda n: method(
        method(customers(), "filter", Expr("lookup:exact", (F(n), Expr("Value", ("x",))))), "count"
    ),
    "Coalesce": lambda n: out(
        method(customers(), "annotate", x=Expr("Coalesce", (n, Expr("Value", ("",))), {"output_field": text_field()}))
    ),
    "Concat": lambda n: out(
        method(customers(), "annotate", x=Expr("Concat", ("name", n), {"output_field": text_field()}))
    ),
    "Length": lambda n: out(method(customers(), "annotate", x=Expr("Length", (n,)))),
    "Cast": lambda n: out(method(customers(), "annotate", x=Expr("Cast", (n, text_field())))),
    "JSONObject": lambda n: out(method(customers(), "annotate", x=Expr("JSONObject", (), {"a": F(n)}))),
    "KT": lambda n: out(method(customers(), "annotate", x=Expr("KT", (f"{n}__a",)))),
    "rows": lambda n: Rows(parent=customers(), columns=("id", n)),
    "rows through relation": lambda n: Rows(parent=orders(), columns=("id", f"customer__{n}")),
    "column": lambda n: Column(parent=Rows(parent=customers(), columns=("id", n)), name=n),
    "relation": lambda n: method(
        method(Attr(parent=method(orders(), "first"), name="products"), "filter", **{f"orders__customer__{n}": 1}),
        "count",
    ),
    "distinct on": lambda n: method(customers(), "distinct", n),
    "add_fields": lambda n: out(
        method(
            orders(),
            "annotate",
            x=Expr("Subquery", (method(method(customers(), "clear_select_clause"), "add_fields", [n]),)),
        )
    ),
}

#: Names that no SQL is made of, or that Django answers for before SQL is made: the check of names alone.
NAME_PATHS = {
    "only": lambda n: method(customers(), "only", n),
    "defer": lambda n: method(customers(), "defer", n),
    "in_bulk": lambda n: method(customers(), "in_bulk", ["x"], field_name=n),
    "attribute": lambda n: Attr(parent=method(customers(), "first"), name=n),
    "update": lambda n: method(customers(), "update", **{n: "x"}),
    "getset": lambda n: method(customers(), "getset", **{n: "x"}),
    "create": lambda n: method(customers(), "create", **{n: "x"}),
    "get_or_create value": lambda n: method(customers(), "get_or_create", email="q@example.org", defaults={n: "x"}),
    "get_or_create exact": lambda n: method(customers(), "get_or_create", **{n: "secret of 1"}),
    "update_or_create value": lambda n: method(customers(), "update_or_create", pk=1, defaults={n: "x"}),
    "save": lambda n: Save(model="shop.Customer", service="", values={"id": 1, n: "x"}, adding=False),
    "insert": lambda n: Insert(model="shop.Customer", service="", fields=("name", n), rows=(("a", "b"),)),
    "insert returning": lambda n: Insert(
        model="shop.Customer", service="", fields=("name",), rows=(("a",),), returning=(n,)
    ),
    "prefetch_related": lambda n: method(customers(), "prefetch_related", n),
    "select_related": lambda n: method(customers(), "select_related", n),
    "select_related deep": lambda n: method(orders(), "select_related", f"customer__{n}"),
    "bulk_update": lambda n: method(customers(), "bulk_update", (n,), [(1, "x")]),
    "dates": lambda n: method(customers(), "dates", n, "year"),
}


@pytest.fixture(autouse=True)
def secrets(shop_data):
    for customer in Customer.objects.all():
        customer.secret_note = f"secret of {customer.pk}"
        customer.save(update_fields=["secret_note"])


@pytest.fixture
def no_name_check(monkeypatch):
    monkeypatch.setattr(Policy, "blocked", lambda self, names, opts, query=None: None)


@pytest.fixture
def no_audit(monkeypatch):
    monkeypatch.setattr(
        audit.AuditedCompiler, "compile", lambda self, node: super(audit.AuditedCompiler, self).compile(node)
    )


def writes_or_reads_first(name):
    """Paths whose first node has to run a query of its own before the hidden name is met."""
    return name in ("relation", "attribute")


def data_statements(queries):
    """Without transactions and the probe by which Django finds out whether SQLite knows JSON.

    A savepoint that the ledger kept back was never sent: psycopg has no text for it, so it is logged as None.
    """
    silent = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "SELECT JSON('")
    return [sql for sql in queries if sql is not None and not sql.startswith(silent)]


@pytest.mark.parametrize("name", [*SQL_PATHS, *NAME_PATHS])
def test_hidden_is_like_unknown_and_runs_no_sql(name, ask):
    path = {**SQL_PATHS, **NAME_PATHS}[name]
    hidden, unknown = ask(path(HIDDEN)), ask(path(UNKNOWN))
    assert hidden.error is not None
    assert unknown.error is not None
    assert (hidden.error.code, hidden.error.node) == (unknown.error.code, unknown.error.node)
    assert hidden.error.message.replace(HIDDEN, UNKNOWN) == unknown.error.message
    assert hidden.error.message.count(HIDDEN) == hidden.error.message.replace(HIDDEN, UNKNOWN).count(UNKNOWN)
    if not writes_or_reads_first(name):
        assert data_statements(hidden.queries) == []


@pytest.mark.parametrize("name", SQL_PATHS)
def test_the_audit_alone_refuses_it(name, ask, no_name_check):
    answered = ask(SQL_PATHS[name](HIDDEN))
    assert answered.error is not None
    assert "secret of" not in str(answered.response)
    if not writes_or_reads_first(name) and name != "Prefetch queryset":  # its parents are read before it
        assert data_statements(answered.queries) == []


#: Refused by Django itself on SQLite, or for another reason, so that success cannot be shown.
CANNOT_SUCCEED = {"distinct on", "update_or_create", "get_or_create"}


@pytest.mark.parametrize("name", sorted(SQL_PATHS.keys() - CANNOT_SUCCEED))
def test_without_the_defences_it_succeeds(name, ask, no_name_check, no_audit):
    answered = ask(SQL_PATHS[name](HIDDEN))
    # Whatever the database makes of it: it was asked.
    of_database = ("DoesNotExist", "OperationalError", "ProgrammingError", "DataError")
    assert answered.error is None or answered.error.code in of_database, answered.error
    assert data_statements(answered.queries)
