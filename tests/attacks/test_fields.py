"""Fields that a client may only read, only filter by, or only set, for each client separately.

The paths are those of ``hidden_names.json``, with a field in place of NAME for which the client has one permission.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.demo.server.shop.models import Customer, Order
from django_rpc.server import ModelRpc
from django_rpc.server.core.clients import Client
from django_rpc.server.handler import answer
from django_rpc.wire.codec import decode_request, encode_response

from .conftest import Answered, expr, method, ref, written
from .defences import DEFENCES
from .test_hidden_names import HIDDEN, NAME_PATHS, READ_FIRST, SQL_PATHS, UNKNOWN, path

CUSTOMERS, ORDERS = ["source", "shop.Customer"], ["source", "shop.Order"]
ALL = {"read", "create", "update", "delete"}
OTHERS = ["id", "name", "email", "city", "joined", "credit", "notes", "referred_by"]

READ_ONLY = {
    "fields": [*OTHERS, HIDDEN],
    "filterable_fields": OTHERS,
    "readonly_fields": [HIDDEN],
    "operations": ALL,
    "methods": ["top_spenders"],
}
COMPARE_ONLY = {
    "fields": OTHERS,
    "filterable_fields": [*OTHERS, HIDDEN],
    "operations": ALL,
    "methods": ["top_spenders"],
}
WRITE_ONLY = {
    "fields": OTHERS,
    "writable_fields": [*OTHERS, HIDDEN],
    "operations": ALL,
}

#: Reads of the field: a separate column of the executed query, or an attribute of its result.
READS = {
    *("values", "rows", "rows through relation", "column", "only", "defer", "attribute", "add_fields alone"),
    *("the element of a map", "insert returning"),
}
#: Where the field would be an alias: refused by its name, though the audit would let it be read.
ALIASED = {"values alias", "annotate F", "an expression by reference"}
#: Comparisons of the field with a value.
COMPARES = {
    *("exclude", "exclude reverse", "get", "filter first", "nested pk__in", "through relation", "reverse relation"),
    *("aggregate filter", "Case When", "FilteredRelation", "through FilteredRelation", "Exists OuterRef"),
    *("Prefetch queryset", "and of queries", "update filtered", "delete filtered", "getset filtered", "Q deep"),
    *("filter_reuse", "lookup expression", "relation", "isnull", "in a query", "or of queries", "xor of queries"),
    *("operator on queries", "contains", "in the body of a map", "in a map's query", "in a where", "in a cond"),
    *("an argument of a function", "under a registered method", "nested OuterRef"),
    "a foreign key of a through table",
}


@pytest.fixture(autouse=True)
def secrets(shop_data):
    for customer in Customer.objects.all():
        customer.secret_note = f"secret of {customer.pk}"
        customer.save(update_fields=["secret_note"])


def refused(answered, name, first=READ_FIRST):
    assert answered.error is not None, name
    if name not in first:
        assert answered.data_statements == []


@pytest.mark.parametrize("out", ["nothing", "names"])
def test_readable_field_is_not_filterable(send, registered, monkeypatch, out):
    """In no condition, order, group, expression, nested query: also by the audit of the compiled query alone."""
    registered(Customer, **READ_ONLY)
    if out == "names":
        DEFENCES[out].take_out(monkeypatch)
    for name, nodes in SQL_PATHS.items():
        answered = send(path(nodes, HIDDEN))
        if name in READS or (out == "names" and name in ALIASED):
            assert answered.error is None, (name, answered.text)
        else:
            refused(answered, name, READ_FIRST | {"Prefetch queryset"})


def test_readable_field_is_not_filterable_by_name(send, registered):
    registered(Customer, **READ_ONLY)
    for name, nodes in NAME_PATHS.items():
        answered = send(path(nodes, HIDDEN))
        if name == "insert returning":  # which lacks other fields
            assert answered.code == "IntegrityError"
        elif name in READS:
            assert answered.error is None, (name, answered.text)
        else:
            assert answered.error is not None, name


@pytest.mark.parametrize("out", ["nothing", "names"])
def test_filterable_field_has_no_other_use(send, registered, monkeypatch, out):
    """Equality confirms a known value; an ordering, a prefix or a range would reveal the value."""
    registered(Customer, **COMPARE_ONLY)
    if out == "names":
        DEFENCES[out].take_out(monkeypatch)
    for name, nodes in SQL_PATHS.items():
        if name == "in a query" and connection.vendor != "sqlite":
            continue  # it compares a text with numbers
        answered = send(path(nodes, HIDDEN))
        if name in COMPARES:
            assert answered.error is None, (name, answered.text)
        else:
            refused(answered, name)
        assert "secret of" not in answered.text
    for name, nodes in NAME_PATHS.items():
        answered = send(path(nodes, HIDDEN))
        assert "secret of" not in answered.text
        if name not in ("only", "defer", "add_fields alone"):  # which are answered without it where names are open
            assert answered.error is not None, name
    assert send([CUSTOMERS, method(0, "filter", secret_note="secret of 7"), method(1, "values", "id")]).output == [
        {"id": 7}
    ]


#: Comparisons with a value that would be another use of the field, or of a part of it.
INDIRECT = {
    "its own lower case": {"secret_note": expr("Lower", "secret_note")},
    "itself": {"secret_note": expr("F", "secret_note")},
    "the other side": {"name": expr("F", "secret_note")},
    "a part": {"secret_note__lower": "s"},
    "a list with a part": {"secret_note__in": [expr("Substr", "secret_note", 1, 200)]},
    "a list of itself": {"pk__in": [expr("Length", "secret_note")]},
    "a range": {"secret_note__range": ["a", "z"]},
    "case": {"secret_note__iexact": "SECRET OF 1"},
    "greater": {"secret_note__gt": ""},
    "a year": {"secret_note__year": 2024},
}


@pytest.mark.parametrize("what", INDIRECT)
def test_a_comparison_with_itself(send, registered, what):
    registered(Customer, **COMPARE_ONLY)
    for last in (
        [method(0, "filter", **INDIRECT[what]), method(1, "count")],
        [method(0, "exclude", **INDIRECT[what]), method(1, "count")],
        [method(0, "aggregate", n=expr("Count", "pk", filter={"$q": ["AND", False, [*INDIRECT[what].items()]]}))],
    ):
        answered = send([CUSTOMERS, *last])
        assert answered.code == "FieldError", answered.text
        assert answered.data_statements == []


def test_writable_field_is_not_readable(send, registered):
    registered(Customer, **WRITE_ONLY)
    assert send([CUSTOMERS, method(0, "filter", pk=1), method(1, "update", secret_note="x")]).output == 1
    assert send([["save", "shop.Customer", {"id": 2, "secret_note": "x"}, False, {}]]).error is None
    assert send([CUSTOMERS, method(0, "bulk_update", ["secret_note"], [[3, "x"]])]).output == 1
    values = {"name": "n", "email": "n@example.org", "city": "c", "joined": {"$date": "2024-01-01"}, HIDDEN: "x"}
    created = send([["save", "shop.Customer", values, True, {}]])
    assert created.error is None
    assert "secret_note" not in created.text
    assert Customer.objects.filter(secret_note="x").count() == 4
    before = list(Customer.objects.order_by("pk").values())
    writes_it = {"update", "save", "save of it alone", "bulk_update", "create", "insert", "create of a relation"}
    conflicts = {"insert's conflict", "get_or_create value", "update_or_create value", "update_or_create create"}
    for name, nodes in {**SQL_PATHS, **NAME_PATHS}.items():
        answered = send(path(nodes, HIDDEN))
        assert "secret of" not in answered.text, name
        if name not in writes_it | conflicts:
            assert answered.error is not None, name
    Customer.objects.filter(pk__gt=max(row["id"] for row in before)).delete()
    after = [{**row, HIDDEN: None} for row in Customer.objects.order_by("pk").values()]
    assert after == [{**row, HIDDEN: None} for row in before]


# Relations


def of_orders(name):
    """Ways through the customer of an order, to a field of the name."""
    return [
        [ORDERS, method(0, "filter", **{f"customer__{name}": "x"}), method(1, "count")],
        [ORDERS, method(0, "values", f"customer__{name}")],
        [ORDERS, method(0, "order_by", f"customer__{name}")],
        [ORDERS, ["rows", 0, [f"customer__{name}"]]],
        [CUSTOMERS, method(0, "filter", orders__total=1), method(1, "count")],
        [CUSTOMERS, method(0, "annotate", n=expr("Count", "orders")), method(1, "first")],
        [CUSTOMERS, method(0, "prefetch_related", "orders")],
        [ORDERS, method(0, "select_related", "customer")],
        [ORDERS, method(0, "prefetch_related", "customer")],
        [ORDERS, method(0, "annotate", f=expr("FilteredRelation", "customer")), method(1, "filter", f__name="x")],
    ]


@pytest.mark.parametrize("kind", ["read", "compared"])
def test_a_relation_that_leads_nowhere(send, registered, kind):
    """A field that may only be read, or only compared, is a key: the related row has other fields."""
    own = ["id", "number", "total"]
    fields, filters = ([*own, "customer"], own) if kind == "read" else (own, [*own, "customer"])
    registered(Order, fields=fields, filterable_fields=filters)
    for name in ("name", HIDDEN, UNKNOWN):
        for nodes in of_orders(name):
            refused(send(nodes), str(nodes))
    hidden, unknown = (send(of_orders(name)[0]) for name in (HIDDEN, UNKNOWN))
    assert hidden.message.replace(HIDDEN, UNKNOWN) == unknown.message
    first = [ORDERS, method(0, "get", pk=1), ["attr", 1, "customer"]]
    assert send(first).code == "AttributeError"
    assert send([CUSTOMERS, method(0, "get", pk=1), ["attr", 1, "orders"]]).code == "AttributeError"
    key = Order.objects.get(pk=1).customer_id
    compared = [ORDERS, method(0, "filter", customer__in=[key]), method(1, "count")]
    read = [ORDERS, method(0, "filter", pk=1), method(1, "values_list", "customer_id", flat=True)]
    if kind == "read":
        assert send(read).output == [key]
        refused(send(compared), "in")
    else:
        assert send(compared).output == Order.objects.filter(customer=key).count()
        refused(send(read), "values")


# Answers for a field that may not be used


def test_plain_rows_have_readable_fields(send, registered):
    """Groups by the key, slices of each element and windows do not use the loaded columns."""
    registered(Customer, **READ_ONLY)
    for nodes in (
        [CUSTOMERS, method(0, "annotate", n=expr("Count", "orders")), method(1, "order_by", "id")],
        [CUSTOMERS, method(0, "annotate", n=expr("Count", "orders")), method(1, "order_by", "id"), method(2, "first")],
        [CUSTOMERS, method(0, "annotate", w=expr("Window", expr("RowNumber"), order_by=["id"])),
         method(1, "filter", w__lte=3)],
        [CUSTOMERS, method(0, "order_by", "-id"), ["item", 1, {"$slice": [39, 40, None]}]],
        [ORDERS, method(0, "select_related", "customer"), method(1, "filter", customer=1), method(2, "first")],
        [CUSTOMERS, method(0, "filter", pk=2), ["param", 0], ["attr", 2, "referred_by"],
         ["map", 1, 2, 3, False]],
    ):  # fmt: skip
        answered = send(nodes)
        assert answered.error is None, answered.text
        if nodes[0] is CUSTOMERS and len(nodes) < 5:
            assert "secret of 1" in answered.text, nodes


def test_derived_rows_lack_unusable_fields(send, registered):
    """Distinct rows and unions consist of usable fields; the omitted fields are read by the key."""
    registered(Customer, **READ_ONLY)
    for nodes in (
        [CUSTOMERS, method(0, "distinct"), method(1, "order_by", "id")],
        [CUSTOMERS, method(0, "filter", pk=1), method(0, "filter", pk=2), method(1, "union", ref(2))],
    ):
        answered = send(nodes)
        assert answered.error is None, answered.text
        assert "secret of" not in answered.text
    refused(send([CUSTOMERS, method(0, "values", HIDDEN), method(1, "distinct"), method(2, "count")]), "count")


# Clients


class ByClientRpc(ModelRpc):
    fields = ["id", "name"]
    operations = ALL

    def get_fields(self, request):
        return [*self.fields, HIDDEN] if request.client == "billing" else self.fields

    def get_filterable_fields(self, request):
        return ["name"] if request.client == "billing" else None

    def get_writable_fields(self, request):
        return [HIDDEN] if request.client == "billing" else ["name"]


@pytest.fixture
def send_as(db):
    """``send_as(client, nodes)``: the answer to this client."""

    def send_as(name, nodes):
        with CaptureQueriesContext(connection) as captured:
            response = answer(decode_request(written(nodes)), Client(name))
        data = response if isinstance(response, bytes) else encode_response(response)
        return Answered(data, [query["sql"] for query in captured], 0)

    return send_as


def test_fields_differ_by_client(send_as, registered):
    """The visible fields of a client do not exist for the other, also right after the first client's request."""
    registered(Customer, ByClientRpc)
    for _ in range(2):
        assert send_as("billing", [CUSTOMERS, ["rows", 0, ["id", HIDDEN]]]).error is None
        for nodes in ({**SQL_PATHS, **NAME_PATHS}[name] for name in ("rows", "filter", "values", "update", "save")):
            hidden, unknown = send_as("shop", path(nodes, HIDDEN)), send_as("shop", path(nodes, UNKNOWN))
            assert hidden.message.replace(HIDDEN, UNKNOWN) == unknown.message
            assert hidden.data_statements == []
        assert "secret of" not in send_as("shop", [CUSTOMERS]).text
        assert "secret of" in send_as("billing", [CUSTOMERS]).text
    assert send_as("shop", path(SQL_PATHS["filter"], "name")).error is None
    assert send_as("billing", path(SQL_PATHS["filter"], HIDDEN)).code == "FieldError"
    update = [CUSTOMERS, method(0, "filter", pk=1), method(1, "update", name="x")]
    assert send_as("shop", update).output == 1
    assert send_as("billing", update).code == "PermissionDenied"
    assert send_as("billing", [*update[:2], method(1, "update", secret_note="x")]).output == 1
    described = {client: str(send_as(client, [["schema", ["shop.Customer"]]]).output) for client in ("shop", "billing")}
    assert HIDDEN in described["billing"]
    assert HIDDEN not in described["shop"]
