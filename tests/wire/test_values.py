"""Every value is decoded as it was sent: equal, and of the same type."""

from __future__ import annotations

import datetime
import struct
import uuid
import zoneinfo
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_rpc.errors import BadValue, MessageTooDeep, UnknownTag, WireError
from django_rpc.graph import values as graph_values
from django_rpc.graph.nodes import KINDS, Literal, ModelSource, Node
from django_rpc.graph.values import Condition, Expr, Handed, NamedRow, Record, Reference, RowSet, Table
from django_rpc.wire.codec import decode_request, decode_response, encode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Request, Response
from django_rpc.wire.rows import COLUMN_TYPES
from django_rpc.wire.tags import TAGS, Unpacker
from django_rpc.wire.values import PACKERS, Packer

UTC = datetime.UTC


def exact(value):
    """A form of ``value`` that is equal only to the same values of the same types."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, "nan" if value != value else struct.pack("d", value)
    if isinstance(value, Decimal):
        return kind, repr(value)
    if isinstance(value, datetime.datetime | datetime.time):
        return kind, value.replace(tzinfo=None).isoformat(), repr(value.tzinfo), value.fold
    if isinstance(value, list | tuple):
        return kind, [exact(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(map(repr, map(exact, value)))
    if isinstance(value, dict):
        return kind, [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, slice):
        return kind, exact((value.start, value.stop, value.step))
    if isinstance(value, Expr | Condition | Reference | NamedRow | Record | Table | RowSet):
        return kind, [exact(getattr(value, name)) for name in value.__struct_fields__]
    return kind, repr(value)


def there_and_back(value):
    """As an argument of a request."""
    return decode_request(encode_request(Request(id="t", nodes=(Literal(value=value),), outputs=(0,)))).nodes[0].value


def answered(value):
    """As an output of a response."""
    return decode_response(encode_response(Response(id="t", outputs=(value,)))).outputs[0]


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]).map(zoneinfo.ZoneInfo)
offsets = st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(datetime.timezone)
any_zone = st.none() | st.just(UTC) | zones | offsets
folds = st.sampled_from([0, 0, 0, 1])
texts = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=True, allow_infinity=True).filter(
    lambda d: not d.is_finite() or abs(d.adjusted()) < 900
)
datetimes = st.builds(lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold), st.datetimes(), any_zone, folds)
times = st.builds(lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold), st.times(), any_zone, folds)

#: One strategy a type that holds nothing else.
ATOMS = {
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers() | st.integers(-(2**70), 2**70),
    float: st.floats(),
    str: texts,
    bytes: st.binary(),
    Decimal: decimals,
    datetime.datetime: datetimes,
    datetime.date: st.dates(),
    datetime.time: times,
    datetime.timedelta: st.timedeltas(),
    datetime.timezone: offsets,
    uuid.UUID: st.uuids(),
    zoneinfo.ZoneInfo: zones,
}
atoms = st.one_of(*ATOMS.values())
hashable = atoms.filter(lambda value: not (isinstance(value, Decimal) and value.is_nan()) and value == value)
reference_keys = hashable.filter(lambda value: value is not None)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,9}", fullmatch=True)
keys = st.from_regex(r"\$?[a-z]{0,5}", fullmatch=True)


def containers(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(hashable, inner, max_size=3),
        st.sets(hashable, max_size=3),
        st.frozensets(hashable, max_size=3),
        st.builds(slice, inner, inner, inner),
        st.builds(Expr, st.just("Value"), st.tuples(inner)),
        st.builds(Expr, st.just("JSONObject"), st.just(()), st.dictionaries(keys, inner, max_size=2)),
        st.builds(
            Condition,
            st.lists(st.tuples(names, inner), max_size=3).map(tuple),
            st.sampled_from(["AND", "OR", "XOR"]),
            st.booleans(),
        ),
        st.builds(Reference, st.just("shop.Order"), reference_keys | st.lists(reference_keys, min_size=1).map(tuple)),
        st.lists(st.tuples(names, inner), max_size=3).map(
            lambda pairs: Record("shop.Order", tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
        ),
        st.lists(inner, max_size=3).map(lambda row: NamedRow(tuple(f"c{n}" for n in range(len(row))), tuple(row))),
    )


anything = st.recursive(atoms, containers, max_leaves=12)
#: Columns of one type with None, or of anything.
columns = st.sampled_from([*ATOMS.values(), atoms, anything])


@st.composite
def tables(draw):
    kinds = draw(st.lists(columns, max_size=4))
    rows = draw(st.lists(st.tuples(*[st.none() | kind for kind in kinds]), max_size=4))
    header = tuple(f"c{number}" for number in range(len(kinds)))
    parents = draw(st.sampled_from([(), (("customer", Record("shop.Customer", ("id",), (1,))),)]))
    return draw(st.sampled_from([RowSet(header, rows), Table("shop.Order", header, rows, parents)]))


@pytest.mark.parametrize("kind", ATOMS, ids=lambda kind: kind.__name__)
def test_atoms_round_trip(kind):
    @given(ATOMS[kind])
    def check(value):
        assert exact(there_and_back(value)) == exact(value)
        assert exact(answered(value)) == exact(value)

    check()


@pytest.mark.parametrize("microseconds", [1, -1, 999_999, -999_999, 0, 1_000_001, -1_000_001])
@pytest.mark.parametrize("value", [datetime.datetime(2024, 1, 1), datetime.time(1), datetime.time(1, fold=1)])
def test_offsets_of_less_than_a_second(value, microseconds):
    zoned = value.replace(tzinfo=datetime.timezone(datetime.timedelta(microseconds=microseconds)))
    assert exact(there_and_back(zoned)) == exact(zoned)
    assert exact(answered(zoned)) == exact(zoned)


@given(anything)
def test_nested_values_round_trip(value):
    assert exact(there_and_back(value)) == exact(value)
    assert exact(answered(value)) == exact(value)


@given(tables())
def test_rows_round_trip(value):
    assert exact(answered(value)) == exact(value)  # parsed by the decoder of their types
    assert exact(answered([value])) == exact([value])  # converted from the value of the parser
    assert exact(there_and_back(value)) == exact(value)


@given(anything)
def test_encoding_is_canonical(value):
    text = encode_response(Response(id="t", outputs=(value,)))
    assert encode_response(decode_response(text)) == text


def test_the_tests_cover_every_atom():
    assert set(ATOMS) >= graph_values.ATOMS


def test_every_type_and_every_kind_has_a_codec():
    assert set(PACKERS) >= graph_values.ATOMS | set(KINDS.values())
    assert set(PACKERS) >= {list, tuple, set, frozenset, dict, slice, Expr, Condition, Record, Reference, Table, RowSet}
    samples = {
        "$ref": ModelSource(model="a.B", service=""),
        "$int": 2**64,
        "$float": float("inf"),
        "$decimal": Decimal(1),
        "$datetime": datetime.datetime(2024, 1, 1),
        "$date": datetime.date(2024, 1, 1),
        "$time": datetime.time(1),
        "$duration": datetime.timedelta(1),
        "$offset": UTC,
        "$zone": zoneinfo.ZoneInfo("UTC"),
        "$uuid": uuid.UUID(int=1),
        "$bytes": b"x",
        "$tuple": (),
        "$set": set(),
        "$frozenset": frozenset(),
        "$dict": {1: 2},
        "$slice": slice(None),
        "$expr": Expr("Star"),
        "$q": Condition(()),
        "$instance": Reference("a.B", 1),
        "$record": Record("a.B", (), ()),
        "$table": Table("a.B", (), []),
        "$rows": RowSet((), []),
        "$named": NamedRow((), ()),
        "$error": ErrorReport(code="KeyError", message="x"),
        "$given": Handed(0, 1),
    }
    assert set(samples) == set(TAGS)
    pack = Packer({id(samples["$ref"]): 0})
    for tag, value in samples.items():
        assert list(pack(value)) == [tag]
    plain = {type(None), bool, int, float, str, list, dict, *KINDS.values()}
    assert {type(value) for value in samples.values()} | plain == set(PACKERS)


def test_a_typed_column_is_chosen_only_where_it_is_exact():
    def types(*column):
        packed = Packer()(RowSet(("c",), [(value,) for value in column]))
        return packed["$rows"][1][0]

    assert types(1, None) == "int"
    assert types(None, None) == "null"
    assert types(1, True) == types(1, 1.0) == types(2**63) == types(float("nan"), 1.0) == "any"
    assert types(datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC)) == "datetime"
    assert types(datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))) == "any"
    assert types(datetime.datetime(2024, 1, 1, fold=1)) == "any"
    assert types(datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1)) == "any"
    used = {types(value) for value in (None, True, 1, 1.5, "", b"", Decimal(1), datetime.datetime(2024, 1, 1))}
    used |= {types(value) for value in (datetime.date(2024, 1, 1), datetime.time(1), datetime.timedelta(1))}
    assert used | {types(uuid.UUID(int=1)), types([])} == set(COLUMN_TYPES)


class Shouting(str):
    """A subclass, as Django's SafeString is."""


@pytest.mark.parametrize("send", [there_and_back, answered])
def test_a_subclass_travels_as_its_plain_value(send):
    assert exact(send(Shouting("x"))) == exact("x")
    assert exact(send({Shouting("x"): 1})) in (exact({"x": 1}),)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ({"a": {"\ud800"}}, "surrogate"),
        (object(), "cannot be sent"),
        (10**2000, "digits"),
        (RowSet(("a", "b"), [(1, 2), (1,)]), "row"),
        (RowSet(("a",), [(1, 2)]), "row"),
        (ModelSource(model="a.B", service=""), "topological"),
        (Condition((1,)), None),
        (Condition((("a", 1, 2),)), "pair"),
    ],
)
def test_unsendable_value_is_refused(value, says):
    if says is None:
        with pytest.raises(WireError):
            there_and_back(value)
        return
    with pytest.raises(BadValue, match=says):
        encode_request(Request(id="t", nodes=(Literal(value=value),), outputs=(0,)))
    with pytest.raises(BadValue, match=says):
        encode_response(Response(id="t", outputs=(value,)))


def test_a_value_nested_too_deeply_is_refused_by_both_ends():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(MessageTooDeep):
        encode_request(Request(id="t", nodes=(Literal(value=value),), outputs=(0,)))
    with pytest.raises(MessageTooDeep):
        encode_response(Response(id="t", outputs=(value,)))


#: Values as a forger would write them.
FORGED = [
    {"$decimal": "1e999999999"},
    {"$decimal": "1e99999999999999999999"},
    {"$decimal": "1" * 10_000},
    {"$decimal": "1_0"},
    {"$decimal": " 1"},
    {"$decimal": "\u0661"},
    {"$decimal": 1},
    {"$int": "9" * 5_000},
    {"$int": "0x10"},
    {"$int": 5},
    10**30,
    {"$float": "1.5"},
    {"$float": []},
    {"$datetime": "2024-13-01T00:00:00"},
    {"$datetime": "20240101"},
    {"$datetime": 5},
    {"$datetime": ["2024-01-01T00:00:00Z", "Europe/Berlin", 0]},
    {"$datetime": ["2024-01-01T00:00:00", None, True]},
    {"$datetime": ["2024-01-01T00:00:00", None]},
    {"$date": "2024-02-30"},
    {"$time": "25:00:00"},
    {"$duration": "P1Y"},
    {"$duration": "P9999999999D"},
    {"$offset": "P2D"},
    {"$uuid": "0" * 32},
    {"$uuid": "urn:uuid:00000000-0000-0000-0000-000000000000"},
    {"$bytes": "a"},
    {"$bytes": "a\n=="},
    {"$bytes": None},
    {"$zone": "../../etc/passwd"},
    {"$zone": "/etc/passwd"},
    {"$zone": "Europe"},
    {"$zone": "Nowhere/Land"},
    {"$set": [[]]},
    {"$set": [{"$expr": ["Value", [1], {}]}]},
    {"$dict": [[[], 1]]},
    {"$dict": [[1]]},
    {"$dict": {}},
    {"$slice": [1]},
    {"$tuple": {}},
    {"$expr": ["Value"]},
    {"$expr": [1, [], {}]},
    {"$expr": ["Value", {}, {}]},
    {"$q": ["AND", 0, []]},
    {"$q": ["AND", False, [["a"]]]},
    {"$q": ["AND", False, [[1, 1]]]},
    {"$q": ["AND", False, [1]]},
    {"$q": [[], False, []]},
    {"$instance": ["os", 1]},
    {"$instance": ["a.B", [1]]},
    {"$instance": ["a.B", {"id": 1}]},
    {"$instance": ["a.B", None]},
    {"$instance": ["a.B", {"$tuple": []}]},
    {"$instance": ["a.B", {"$tuple": [1, None]}]},
    {"$instance": ["a.B", {"$tuple": [1, {"$tuple": [1]}]}]},
    {"$instance": ["a.B", {"$set": [1]}]},
    {"$instance": ["a.B", {"$expr": ["Value", [1], {}]}]},
    {"$instance": ["a.B", {"$instance": ["a.B", 1]}]},
    {"$instance": ["a.B", 1, {"size": 5}]},
    {"$record": ["a.B", ["x"], []]},
    {"$table": ["a.B", ["x"], ["int"], [["a"]]]},
    {"$table": ["a.B", ["x"], [], []]},
    {"$table": ["a.B", ["x"], ["int"], [], 5]},
    {"$table": ["a.B", ["x"], ["int"], [], {"b": 5}]},
    {"$table": ["a.B", ["x"], ["int"], [], {"b": {"$table": ["a.B", [], [], []]}}]},
    {"$table": ["a.B", ["x"], ["int"], [], {}, {}]},
    {"$record": ["a.B", ["x"], [1], []]},
    {"$record": ["a.B", ["x"], [1], {"b": {"$tuple": []}}]},
    {"$rows": [["x"], ["decimal"], [["1e999999999"]]]},
    {"$rows": [["x"], ["decimal"], [["1e99999999999999999999"]]]},
    {"$rows": [["x"], ["object"], []]},
    {"$rows": [["x"], [[]], []]},
    {"$rows": [["c"] * 3000, ["int"] * 3000, []]},
    {"$ref": True},
    {"$ref": -1},
    {"$ref": "0"},
    "x" * (5 * 1024 * 1024),
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: repr(forged)[:60])
def test_a_forged_value_is_refused(forged):
    message = {"v": 1, "id": "t", "nodes": [["literal", forged]], "outputs": [0]}
    with pytest.raises(BadValue) as caught:
        decode_request(msgspec.json.encode(message))
    assert caught.value.node == 0
    assert caught.value.request_id == "t"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("forged", [{"$pickle": "x"}, {"$date": "2024-01-01", "a": 1}, {"a": 1, "$date": "2024-01-01"}])
def test_an_unknown_tag_is_refused(forged):
    with pytest.raises(UnknownTag, match="tag of this version"):
        Unpacker()(forged)


def test_types_are_never_guessed_from_text():
    text = {"d": "2020-01-01", "u": "00000000-0000-0000-0000-000000000000", "n": "1.50", "q": "django.db.models.Q"}
    assert exact(there_and_back(text)) == exact(text)


def test_nodes_are_references_and_stay_the_same_object():
    source: Node = ModelSource(model="shop.Order", service="rpc")
    literal = Literal(value=[source, {"a": (source,)}])
    decoded = decode_request(encode_request(Request(id="t", nodes=(source, literal), outputs=(1,))))
    assert decoded.nodes[1].value[0] is decoded.nodes[0]
    assert decoded.nodes[1].value[1]["a"][0] is decoded.nodes[0]
