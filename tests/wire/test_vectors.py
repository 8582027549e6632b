"""``tests/vectors/`` contains messages that every client writes and reads, byte for byte.

``python tests/wire/test_vectors.py`` writes them anew: only for a new version of the protocol, or a new vector.
"""

from __future__ import annotations

import datetime
import re
import uuid
import zoneinfo
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from django_rpc.errors import ERRORS
from django_rpc.graph.nodes import (
    KINDS,
    Attr,
    Call,
    Column,
    DescribeModels,
    Element,
    Filter,
    Function,
    IfElse,
    Insert,
    Item,
    Literal,
    Map,
    Method,
    ModelSource,
    Operator,
    Reduce,
    RequestOutcome,
    Rows,
    Save,
    ServiceInfo,
    Shipped,
)
from django_rpc.graph.schema import ComputedSchema, ConstraintSchema, FieldSchema, ModelSchema, as_data, models_of
from django_rpc.graph.values import Condition, Expr, Handed, NamedRow, Record, Reference, RowSet, Table
from django_rpc.wire.codec import decode_request, decode_response, encode_request, encode_response
from django_rpc.wire.limits import Limits
from django_rpc.wire.messages import (
    ClientInfo,
    ErrorReport,
    HandOver,
    NodeCost,
    Origin,
    PlannedRead,
    Request,
    Response,
    TraceEntry,
)
from django_rpc.wire.tags import TAGS

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
PROTOCOL = ROOT / "docs" / "protocol.md"


def source(model="shop.Order"):
    return ModelSource(model=model, service="rpc")


def smallest():
    return Request(id="r1", nodes=(source(),), outputs=(0,))


def a_query():
    """``Order.objects.filter(Q(total__gt=Decimal("5.00")) | ~Q(note=None), client__in=vip)[:10]`` as rows."""
    clients = source("shop.Client")
    vip = Method(parent=clients, name="filter", args=(Condition((("tier", "vip"),)),))
    orders = source()
    either = Condition(
        (Condition((("total__gt", Decimal("5.00")),)), Condition((("note", None),), negated=True)), connector="OR"
    )
    chosen = Method(parent=orders, name="filter", args=(either,), kwargs={"client__in": vip})
    first = Item(parent=chosen, key=slice(None, 10))
    rows = Rows(parent=first, columns=("id", "client__name"))
    return Request(
        id="3f2a",
        client=ClientInfo(host="web-1", process=4711, name="shop", called_at=1700000000.5),
        expires=1700000030.5,
        nodes=(clients, vip, orders, chosen, first, rows),
        outputs=(5,),
        shapes={"shop.Order": ("id", "total")},
        trace=True,
    )


def every_kind():
    orders = source()
    grouped = Method(parent=orders, name="annotate", kwargs={"n": Expr("Count", ("lines",), {"distinct": True})})
    rows = Rows(parent=grouped, columns=("id", "n"))
    ids = Column(parent=rows, name="id")
    order = Method(parent=orders, name="get", kwargs={"pk": 1})
    total = Attr(parent=order, name="total")
    doubled = Operator(name="mul", args=(total, 2))
    called = Call(parent=orders, name="close_all", args=(ids,), kwargs={"at": datetime.date(2024, 2, 29)})
    saved = Save(model="shop.Order", service="rpc", values={"total": doubled, "client_id": 7}, adding=True)
    again = Save(
        model="shop.Order",
        service="rpc",
        values={"id": 1, "total": Expr("CombinedExpression", (Expr("F", ("total",)), "+", Expr("Value", (1,))))},
        adding=False,
        force_update=True,
        update_fields=("total",),
    )
    lines = Insert(
        model="shop.Line",
        service="rpc",
        fields=("order_id", "price", "note"),
        rows=((1, Decimal("9.90"), None), (2, Decimal("0.10"), Expr("Upper", (Expr("Value", ("x",)),)))),
        returning=("id",),
        on_conflict="update",
        update_fields=("price",),
        unique_fields=("order_id",),
    )
    first = Item(parent=ids, key=0)
    both = Literal(value=[saved, (first, {"lines": lines})])
    row = Element()
    dear = Operator(name="gt", args=(Attr(parent=row, name="total"), Decimal("9.90")))
    size = IfElse(test=dear, then=Literal(value="large"), otherwise=Literal(value="small"))
    sizes = Map(parent=orders, param=row, body=size, errors=True)
    few = Filter(parent=orders, param=row, body=dear)
    number = Reduce(name="len", parent=few)
    maps = (row, dear.args[0], dear, size.then, size.otherwise, size, sizes, few, number)
    exposed = DescribeModels(service="rpc", models=("shop.Line",))
    quoted = Function(service="rpc", name="quote", args=(ids,), kwargs={"discount": 5}, reads_only=True)
    nodes = (
        orders,
        grouped,
        rows,
        ids,
        order,
        total,
        doubled,
        called,
        saved,
        again,
        lines,
        first,
        both,
        *maps,
        exposed,
        quoted,
        RequestOutcome(service="rpc", request="order-4711", settle=True),
        ServiceInfo(service="rpc"),
    )
    assert {type(node) for node in nodes} == set(KINDS.values()) - {Shipped}  # which is Python's alone
    return Request(id="kinds", nodes=nodes, outputs=(2, 7, 9, 12, 19, 21, 22))


def every_value():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    moment = datetime.datetime(2024, 10, 27, 2, 30, fold=1)
    clients = source("shop.Client")
    values = [
        [None, True, False, 0, -1, 1.0, 1.5, "", "2020-01-01", "Привет 🙂"],
        [9223372036854775807, 9223372036854775808, float("nan"), float("inf"), float("-inf"), -0.0],
        [Decimal("1.50"), Decimal("1E+3"), Decimal("NaN")],
        [datetime.datetime(2024, 1, 2, 3, 4, 5, 600), datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)],
        [moment.replace(tzinfo=berlin), moment, datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(-HOUR))],
        [datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 1), datetime.time(1, fold=1)],
        [datetime.timedelta(days=1, seconds=2, microseconds=3), -datetime.timedelta(microseconds=1)],
        [uuid.UUID("12345678-1234-5678-1234-567812345678"), b"\x00\xff", berlin, datetime.timezone(HOUR)],
        [(1, "a"), {3, 1, 2}, frozenset({"b", "a"}), slice(1, None, 2)],
        {"a": 1, "nested": {"b": [2]}},
        {1: "integer key", "$ref": "no reference"},
        [clients, Expr("F", ("total",)), Condition((("a", 1),), "XOR", True), Reference("shop.Client", 3)],
    ]
    return Request(id="values", nodes=(clients, Literal(value=values)), outputs=(1,))


HOUR = datetime.timedelta(hours=1)


def offsets():
    """Offsets of seconds and less, which a parser may drop."""
    least = datetime.timedelta(microseconds=1)
    zones = [datetime.timezone(offset) for offset in (least, -least, datetime.timedelta(seconds=-1), HOUR + least)]
    values = [[datetime.datetime(2024, 1, 2, tzinfo=zone), datetime.time(1, tzinfo=zone)] for zone in zones]
    return Request(id="offsets", nodes=(Literal(value=values),), outputs=(0,))


def rows_answer():
    rows = [
        (1, "Ann", True, Decimal("1.50"), datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), 1.5, None, {1}),
        (2, None, False, Decimal("0"), datetime.datetime(2024, 1, 2, 3, 4, 5, 600), -0.0, None, (2**70,)),
    ]
    columns = ("id", "name", "active", "total", "at", "ratio", "note", "extra")
    return Response(id="3f2a", outputs=(RowSet(columns, rows),), trace=(TraceEntry("SELECT 1", 0.25),))


def a_profiled():
    orders = source()
    return Request(id="p1", nodes=(orders, Method(parent=orders, name="count")), outputs=(1,), asking="profile")


def profile_answer():
    trace = (TraceEntry('SELECT COUNT(*) FROM "order"', 0.25, 1), TraceEntry("SELECT 1", 0.5))
    return Response(id="p1", outputs=(3,), trace=trace, costs=(NodeCost(1, 1, 0.5, 0, 1),))


def an_explained():
    orders = source()
    count = Method(parent=orders, name="count")
    made = Method(parent=orders, name="create", kwargs={"total": count})
    return Request(id="e1", nodes=(orders, count, made), outputs=(2,), asking="explain")


def explain_answer():
    refused = ErrorReport(code="PermissionDenied", message="This client may not create shop.Order.", node=3)
    built = TraceEntry('SELECT COUNT(*) FROM "order"', 0.0, 1)
    read = PlannedRead(1, "grouped aggregate", "one statement by customer")
    return Response(
        id="e1", trace=(built,), costs=(NodeCost(1, 1, 0.0, 0, 1),), refused=(refused,), later=(2,), reads=(read,)
    )


def records_answer():
    client = Record("shop.Client", ("id", "name"), (7, "Ann"))
    lines = Table("shop.Line", ("id", "price"), [(1, Decimal("9.90")), (2, None)])
    order = Record("shop.Order", ("id", "client", "lines"), (1, client, lines))
    missing = ErrorReport(
        code="DoesNotExist", message="Client matching query does not exist.", model="shop.Client", node=2
    )
    row = NamedRow(("id", "tags"), (7, ["new", None]))
    first = Record("shop.Order", ("id", "client_id"), (1, 7), (("client", client),))
    orders = Table("shop.Order", ("id", "client_id"), [(1, 7), (2, 7)], (("client", client),))
    return Response(id="r1", outputs=(order, [1, 2], None, lines, {"n": 3}, ["Ann", missing], [row], first, [orders]))


def described_models():
    state = FieldSchema(
        name="state", type="CharField", max_length=10, choices=[["new", "New"], ["sent", "Sent"]], default="new"
    )
    order = FieldSchema(name="order", type="ForeignKey", to="shop.Order", on_delete="CASCADE", related_name="lines")
    price = FieldSchema(name="price", type="DecimalField", max_digits=10, decimal_places=2, default=Decimal("0.50"))
    line = ModelSchema(
        model="shop.Line",
        verbose_name="order line",
        fields=[FieldSchema(name="id", type="BigAutoField", primary_key=True), order, price, state],
        computed=[ComputedSchema(name="total", type="DecimalField")],
        operations=["create", "read"],
        methods=["close"],
        ordering=["-id"],
        constraints=[ConstraintSchema(name="once", fields=["order", "state"])],
    )
    rush = ModelSchema(model="shop.Rush", parents=["shop.Order"], content_type=7)
    note = FieldSchema(name="note", help_text="A kind of the server's own", filled=True, readonly=True, default=None)
    seat = ModelSchema(model="shop.Seat", fields=[note], unique_together=[["row", "number"]], proxy_of="shop.Place")
    return [line, rush, seat]


def schema_answer():
    return Response(id="kinds", outputs=(as_data(described_models()),))


def an_error():
    report = ErrorReport(
        code="DoesNotExist", message="Order matching query does not exist.", model="shop.Order", node=3
    )
    return Response(id="r1", error=report)


def a_remote_error():
    report = ErrorReport(
        code="Remote",
        message="no stock",
        remote_name="OutOfStock",
        data={"sku": ("x", 1)},
        node=0,
        traceback="File ...",
    )
    return Response(id="r1", error=report)


def a_linked():
    """Forwarded values of two services, one of them signed. Some outputs are forwarded, and one is returned."""
    chosen = Method(parent=source(), name="filter", kwargs={"client_id__in": Handed(0, 1), "total": Handed(1, 0)})
    count = Method(parent=chosen, name="count")
    signed = Origin(id="a1", hash="ab12", client="shop", service="stock", keys={"2026": "ssh-ed25519 AAAA"})
    return Request(
        id="r1",
        nodes=(chosen.parent, chosen, count),
        outputs=(2, 1),
        given=(signed, Origin(id="c1")),
        then=(HandOver("b1", "stock", 2, (1, 0)),),
        back=(0,),
    )


def a_shipped():
    orders = source()
    call = {"service": "rpc", "name": "near", "args": (orders, 5), "kwargs": {"step": 2}, "reads_only": True}
    near = Shipped(**call, python="3.11", code=b"\x80...")
    return Request(id="s1", nodes=(orders, near), outputs=(1,))


def a_located():
    """A client with an active zone that differs from ``TIME_ZONE``, and with the language German."""
    orders = source()
    day = Method(parent=orders, name="filter", kwargs={"created__date": datetime.date(2024, 2, 29)})
    nodes = (orders, day, Method(parent=day, name="count"))
    return Request(id="z1", nodes=nodes, outputs=(2,), zone="Asia/Kolkata", default_zone="-03:30", language="de")


def output_fields():
    """Output fields with options: a collation, and the items of an array."""
    title = Expr(
        "Cast", ("name",), {"output_field": Expr("CharField", (), {"max_length": 9, "db_collation": "nocase"})}
    )
    array = Expr("postgres:ArrayField", (), {"base_field": Expr("IntegerField", (), {})})
    rows = ModelSource("shop.Client", "rpc")
    query = Method(rows, "annotate", (), {"title": title, "parts": Expr("Cast", ("name",), {"output_field": array})})
    return Request(id="r1", nodes=(rows, query), outputs=(1,))


REQUESTS = {
    "request_smallest": smallest,
    "request_query": a_query,
    "request_kinds": every_kind,
    "request_values": every_value,
    "request_offsets": offsets,
    "request_profile": a_profiled,
    "request_explain": an_explained,
    "request_linked": a_linked,
    "request_shipped": a_shipped,
    "request_locale": a_located,
    "request_output_fields": output_fields,
}
RESPONSES = {
    "response_rows": rows_answer,
    "response_records": records_answer,
    "response_profile": profile_answer,
    "response_explain": explain_answer,
    "response_schema": schema_answer,
    "response_error": an_error,
    "response_remote_error": a_remote_error,
}


def stored(name):
    data = (VECTORS / f"{name}.json").read_bytes()
    assert data.endswith(b"}\n")
    return data[:-1]


@pytest.mark.parametrize("name", REQUESTS)
def test_request_vector_round_trip(name):
    assert encode_request(REQUESTS[name]()) == stored(name)
    given = [[Handed(0, 0), Handed(0, 1)], [Handed(1, 0)]]  # as if they had been forwarded
    decoded = decode_request(stored(name), fetch=lambda origins: given)
    assert encode_request(decoded) == stored(name)
    assert [type(node) for node in decoded.nodes] == [type(node) for node in REQUESTS[name]().nodes]


@pytest.mark.parametrize("name", RESPONSES)
def test_response_vector_round_trip(name):
    assert encode_response(RESPONSES[name]()) == stored(name)
    assert repr(decode_response(stored(name))) == repr(RESPONSES[name]())


def test_described_models_round_trip():
    (data,) = decode_response(stored("response_schema")).outputs
    assert list(models_of(data).values()) == described_models()


def test_the_protocol_names_every_key_of_a_description():
    text = PROTOCOL.read_text()
    for kind in (ModelSchema, FieldSchema):
        for name in kind.__struct_fields__:
            assert re.search(rf"^\|[^|]*`{name}`", text, re.MULTILINE), name


def test_no_vector_without_a_test():
    assert {path.stem for path in VECTORS.glob("*.json")} == {*REQUESTS, *RESPONSES}


def test_local_fields_do_not_cross():
    request = Request(
        id="r1", nodes=(ModelSource(model="a.B", service="secret-alias", where=("secret.py", 1)),), outputs=(0,)
    )
    text = encode_request(request)
    assert b"secret" not in text
    decoded = decode_request(text).nodes[0]
    assert (decoded.service, decoded.where, decoded.is_query) == ("", None, True)


# docs/protocol.md


def fragments(value):
    """Every value inside a message, at any depth."""
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from fragments(item)


def test_protocol_examples_are_vectors():
    known = {
        msgspec.json.encode(part)
        for name in (*REQUESTS, *RESPONSES)
        for part in fragments(msgspec.json.decode(stored(name)))
    }
    examples = re.findall(r"```json\n(.*?)```", PROTOCOL.read_text(), re.DOTALL)
    assert len(examples) > 20
    for example in examples:
        for line in example.splitlines():
            assert msgspec.json.encode(msgspec.json.decode(line)) in known, line


CODEC_CODES = [kind.code for kind in ERRORS.values() if kind.raised_by == "codec"]


def test_the_protocol_names_every_form_limit_and_code():
    text = PROTOCOL.read_text()
    headings = set(re.findall(r"^### `([^`]+)`", text, re.MULTILINE))
    assert headings == {*KINDS, *TAGS}
    for name in (*CODEC_CODES, *Limits.__dataclass_fields__):
        assert f"| `{name}` |" in text, name
    for name in Limits.__dataclass_fields__:
        assert f"| `{name}` | {getattr(Limits(), name):,} |" in text, name


if __name__ == "__main__":
    VECTORS.mkdir(exist_ok=True)
    for name, make in REQUESTS.items():
        (VECTORS / f"{name}.json").write_bytes(encode_request(make()) + b"\n")
    for name, make in RESPONSES.items():
        (VECTORS / f"{name}.json").write_bytes(encode_response(make()) + b"\n")
