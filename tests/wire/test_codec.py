"""Messages that a stranger, a broken client or an attacker may send, and graphs of any size."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_rpc import errors
from django_rpc.errors import WireError
from django_rpc.graph.nodes import KINDS, Method, ModelSource
from django_rpc.graph.values import RowSet
from django_rpc.graph.vocabulary.names import check_model
from django_rpc.wire.codec import decode_request, decode_response, encode_request, encode_response
from django_rpc.wire.limits import Limits, check_depth
from django_rpc.wire.messages import Request, Response
from django_rpc.wire.tags import TAGS

VECTORS = sorted((Path(__file__).parents[1] / "vectors").glob("*.json"))
SOURCE = ["source", "shop.Order"]


def message(nodes=(SOURCE,), outputs=(0,), **more):
    return msgspec.json.encode({"v": 1, "id": "r1", "nodes": nodes, "outputs": outputs, **more})


def argument(value):
    return message([SOURCE, ["method", 0, "filter", [], {"pk": value}]])


#: code, node at fault, bytes
BAD = {
    "empty": ("BadMessage", None, b""),
    "noise": ("BadMessage", None, b"\x80\x04\x95pickle"),
    "not utf-8": ("BadMessage", None, b'{"v":1,"id":"\xff"}'),
    "another program's": ("BadMessage", None, b'{"task":"add","args":[1,2]}'),
    "a list": ("BadMessage", None, b"[]"),
    "jsonpickle": ("BadMessage", None, b'{"py/object":"django.db.models.Q"}'),
    "two messages": ("BadMessage", None, message() + message()),
    "cut off": ("BadMessage", None, message()[:-3]),
    "NaN": ("BadMessage", None, argument(0).replace(b'"pk":0', b'"pk":NaN')),
    "1e400": ("BadValue", 1, argument(0).replace(b'"pk":0', b'"pk":1e400')),
    "no outputs": ("BadMessage", None, b'{"v":1,"id":"r1","nodes":[]}'),
    "an id for another key": ("BadMessage", None, message(id="../x y")),
    "an id of nothing": ("BadMessage", None, message(id="")),
    "a long claim": ("BadMessage", None, message(client={"host": "x" * 300})),
    "version 2": ("VersionMismatch", None, message(v=2)),
    "version 2 in other words": ("VersionMismatch", None, b'{"v":2,"graph":{}}'),
    "version true": ("BadMessage", None, message(v=True)),
    "too large": ("MessageTooLarge", None, b" " * (16 * 1024 * 1024 + 1)),
    "too deep": ("MessageTooDeep", None, b"[" * 100_000),
    "too deep, closed": ("MessageTooDeep", None, b"[" * 100_000 + b"]" * 100_000),
    "too deep, behind strings": ("MessageTooDeep", None, b'["' + b"]" * 500 + b'",' + b"[" * 300),
    "too deep, behind escapes": ("MessageTooDeep", None, b'["\\\\\\"' + b"]" * 500 + b'",' + b"[" * 300),
    "too many nodes": ("TooManyNodes", None, message([SOURCE] * 10_001)),
    "too many outputs": ("TooManyNodes", None, message(outputs=[0] * 10_001)),
    "a forward parent": ("ForwardReference", 1, message([SOURCE, ["method", 2, "all", [], {}], SOURCE])),
    "its own parent": ("ForwardReference", 1, message([SOURCE, ["method", 1, "all", [], {}]])),
    "a forward argument": ("ForwardReference", 1, argument({"$ref": 1})),
    "a negative parent": ("BadValue", 1, message([SOURCE, ["method", -1, "all", [], {}]])),
    "an output that is not": ("BadValue", None, message(outputs=[1])),
    "a negative output": ("BadValue", None, message(outputs=[-1])),
    "an unknown tag": ("UnknownTag", 1, argument({"$pickle": "gASV"})),
    "an unknown kind": ("UnknownNode", 1, message([SOURCE, ["eval", "1"]])),
    "no kind": ("UnknownNode", 0, message([[]])),
    "a kind that is no text": ("UnknownNode", 0, message([[1]])),
    "a node that is no array": ("UnknownNode", 0, message([{"source": 1}])),
    "too few fields": ("BadValue", 1, message([SOURCE, ["method", 0, "all"]])),
    "too many fields": ("BadValue", 0, message([["source", "a.B", "x"]])),
    "a parent that is true": ("BadValue", 1, message([SOURCE, ["method", True, "all", [], {}]])),
    "a name that is no text": ("BadValue", 1, message([SOURCE, ["method", 0, 1, [], {}]])),
    "arguments that are no array": ("BadValue", 1, message([SOURCE, ["method", 0, "all", {}, {}]])),
    "an unknown method": ("BadValue", 1, message([SOURCE, ["method", 0, "raw", ["SELECT 1"], {}]])),
    "a private method": ("BadValue", 1, message([SOURCE, ["method", 0, "__class__", [], {}]])),
    "a dotted call": ("BadValue", 1, message([SOURCE, ["call", 0, "os.system", ["x"], {}]])),
    "a private call": ("BadValue", 1, message([SOURCE, ["call", 0, "_raw_delete", ["x"], {}]])),
    "a dunder attribute": ("BadValue", 1, message([SOURCE, ["attr", 0, "__class__"]])),
    "a private attribute": ("BadValue", 1, message([SOURCE, ["attr", 0, "_state"]])),
    "an unknown operator": ("BadValue", 0, message([["operator", "attrgetter", ["x"]]])),
    "an operator of two with one": ("BadValue", 0, message([["operator", "add", [1]]])),
    "a model that is none": ("BadValue", 0, message([["source", "os"]])),
    "a column of a query": ("BadValue", 1, message([SOURCE, ["column", 0, "id"]])),
    "a column that is not there": (
        "BadValue",
        2,
        message([SOURCE, ["rows", 0, ["id"]], ["column", 1, "password"]]),
    ),
    "a private column": ("BadValue", 1, message([SOURCE, ["rows", 0, ["_x"]]])),
    "a private value to save": ("BadValue", 0, message([["save", "a.B", {"_state": 1}, True, {}]])),
    "an unknown option": ("BadValue", 0, message([["save", "a.B", {}, True, {"using": "x"}]])),
    "a private update_fields": ("BadValue", 0, message([["save", "a.B", {}, True, {"update_fields": ["_x"]}]])),
    "another conflict": ("BadValue", 0, message([["insert", "a.B", [], [], [], {"on_conflict": "DO SQL"}]])),
    "ragged rows": ("BadValue", 0, message([["insert", "a.B", ["x"], ["int"], [[1, 2]], {}]])),
    "too few types": ("BadValue", 0, message([["insert", "a.B", ["x"], [], [[]], {}]])),
    "a huge decimal to insert": (
        "BadValue",
        0,
        message([["insert", "a.B", ["x"], ["decimal"], [["1e999999999"]], {}]]),
    ),
    "a shape of no model": ("BadValue", None, message(shapes={"x": []})),
    "a private shape": ("BadValue", None, message(shapes={"a.B": ["_state"]})),
    "values that nobody handed over": ("HandOverFailed", None, message(given=[{"id": "r0"}])),
    "a value that is not handed over": ("BadValue", 1, argument({"$given": [0, 0]})),
    "a value of no place": ("BadValue", 1, argument({"$given": [0, "x"]})),
    "an origin without an id": ("BadMessage", None, message(given=[{"id": "a b"}])),
    "to a message without an id": ("BadMessage", None, message(then=[["a b", "q", 1, [0]]])),
    "to no queue": ("BadMessage", None, message(then=[["r2", "", 1, [0]]])),
    "that waits for nobody": ("BadMessage", None, message(then=[["r2", "q", 0, [0]]])),
    "an output that does not go on": ("BadValue", None, message(then=[["r2", "q", 1, [1]]])),
    "back without then": ("BadValue", None, message(back=[0])),
    "back of an output that is not": ("BadValue", None, message(then=[["r2", "q", 1, [0]]], back=[-1])),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_its_error(name):
    code, node, data = BAD[name]
    with pytest.raises(WireError) as caught:
        decode_request(data)
    assert (caught.value.code, caught.value.node) == (code, node), caught.value
    assert type(caught.value) is errors.ERRORS[code].error_class
    assert 20 < len(str(caught.value)) < 400


def test_bad_input_covers_every_code():
    assert {code for code, _, _ in BAD.values()} == {
        kind.code for kind in errors.ERRORS.values() if kind.raised_by == "codec"
    }


def test_an_error_knows_the_request_that_it_answers():
    for name in ("version 2", "an unknown tag", "an unknown kind", "too many nodes", "a forward parent"):
        with pytest.raises(WireError) as caught:
            decode_request(BAD[name][2])
        assert caught.value.request_id == "r1", name


def test_unknown_keys_of_the_envelope_are_passed_over():
    assert decode_request(message(later="x")).id == "r1"


def test_last_duplicate_key_counts():
    assert decode_request(message()[:-1] + b',"id":"r2"}').id == "r2"


# Whatever the bytes, nothing but a WireError


def read(data):
    for decode in (decode_request, decode_response):
        try:
            decode(data)
        except WireError as error:
            str(error)


@given(st.binary())
def test_noise(data):
    read(data)


TAG_NAMES = sorted(TAGS)
KIND_NAMES = sorted(KINDS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(lambda tag, value: {tag: value}, st.sampled_from(TAG_NAMES), inner)
    ),
    max_leaves=10,
)


@given(
    st.lists(
        st.builds(lambda kind, rest: [kind, *rest], st.sampled_from(KIND_NAMES), st.lists(json_values, max_size=5))
    )
)
def test_nodes_of_anything(nodes):
    try:
        read(message([SOURCE, *nodes]))
    except (UnicodeEncodeError, msgspec.MsgspecError):
        return  # hypothesis made a text that JSON cannot hold


@given(json_values)
@example({"$set": [{"$set": []}]})
@example({"$frozenset": [{"$frozenset": [1]}]})
def test_arguments_of_anything(value):
    try:
        data = argument(value)
    except UnicodeEncodeError:
        return
    read(data)
    read(msgspec.json.encode({"v": 1, "id": "r", "outputs": [value]}))


@settings(max_examples=300)
@given(st.sampled_from(VECTORS), st.randoms(use_true_random=False))
def test_mutated_messages(path, rng: random.Random):
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data))
        action = rng.randrange(4)
        if action == 0:
            data[place] = rng.choice(b'[]{}",:$\\0123456789-+.eE\x00\xff anbt')
        elif action == 1:
            del data[place : place + rng.randint(1, 8)]
        elif action == 2:
            data[place:place] = bytes(rng.choices(b'[]{}",:$\\0123456789-.eE', k=3))
        else:
            start = rng.randrange(len(data))
            data[place:place] = data[start : start + rng.randint(1, 30)]
        if not data:
            return
    read(bytes(data))


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "a", "\\\\", '\\"']), max_size=60), st.integers(0, 8))
def test_the_depth_of_text_is_counted_outside_of_strings_only(pieces, limit):
    data = "".join(pieces).encode()
    level = deepest = 0
    inside = escaped = False
    for byte in data.decode():
        if inside:
            escaped, inside = byte == "\\" and not escaped, byte != '"' or escaped
        elif byte == '"':
            inside = True
        elif byte in "[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in "]}":
            level -= 1
        elif byte == "\\":
            return  # no JSON: the parser stops here, and parses no deeper
    try:
        check_depth(data, Limits(depth=limit))
    except WireError:
        assert deepest > limit
    else:
        assert deepest <= limit


@pytest.mark.parametrize(
    "attack",
    [
        b"[" * 15_000_000,
        b"[]," * 5_000_000,
        b'"ab"' * 4_000_000,
        b"\\" * 15_000_000,
        b"1" * 15_000_000,
        b'{"v":1,"id":"' + b"x" * 15_000_000,
        b'{"v":1,"id":"r","nodes":[["literal",' + b"9" * 15_000_000 + b']],"outputs":[0]}',
        b'{"v":1,"id":"r","nodes":[["literal",{"$decimal":"' + b"9" * 15_000_000 + b'"}]],"outputs":[0]}',
        b'{"v":1,"id":"r","nodes":[["insert","a.B",["x"],["decimal"],[["'
        + b"9" * 15_000_000
        + b'"]],{}]],"outputs":[0]}',
    ],
    ids=lambda attack: attack[:60].decode(),
)
def test_a_parser_cannot_be_exhausted(attack):
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(WireError):
        decode_request(attack)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5  # quadratic work would be minutes
    assert peak < 8 * len(attack)


# Size


def chain(length):
    node = ModelSource(model="shop.Order", service="rpc")
    nodes = [node]
    for number in range(length):
        node = Method(parent=node, name="filter", kwargs={"pk": number})
        nodes.append(node)
    return tuple(nodes)


def test_a_chain_of_100_000_nodes_crosses():
    nodes = chain(100_000)
    data = encode_request(Request(id="r1", nodes=nodes, outputs=(100_000,)))
    decoded = decode_request(data, Limits(nodes=200_000))
    assert decoded.nodes[-1].kwargs == {"pk": 99_999}
    assert decoded.nodes[-1].parent is decoded.nodes[-2]
    assert decoded.nodes[-1].is_query


def test_a_client_learns_of_a_limit_before_it_sends():
    with pytest.raises(errors.MessageTooLarge):
        encode_request(Request(id="r1", nodes=chain(100), outputs=(100,)), Limits(message_bytes=1000))
    with pytest.raises(errors.MessageTooLarge):
        encode_response(Response(id="r1", outputs=("x" * 1000,)), Limits(message_bytes=1000))
    with pytest.raises(errors.BadValue, match="id"):
        encode_request(Request(id="a b", nodes=(), outputs=()))


def test_rows_written_with_spaces_are_read_all_the_same():
    value = RowSet(("a", "b"), [(1, "x")])
    data = encode_response(Response(id="r1", outputs=(value,)))
    assert decode_response(msgspec.json.format(data, indent=2)).outputs == (value,)


def test_models_of_any_alphabet_have_names():
    check_model("shop.Héllo")
    check_model("shop.Order.Überträge")
    for wrong in ("shop.Hé llo", "shop.1st", "shop.a-b", "shop.a;b", "shop", "a.b.c.d", "shop.\u0301"):
        with pytest.raises(ValueError, match="does not name a model"):
            check_model(wrong)
