"""Every kind of node, every tag, every method and every expression has a probe: a new one without fails here."""

from __future__ import annotations

import json

import pytest

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import KINDS
from django_rpc.graph.vocabulary.names import EXPRESSIONS, METHODS, OPERATORS
from django_rpc.wire.tags import TAGS

from .conftest import expr, method, ref, written

HIDDEN, UNKNOWN = "secret_note", "secret_nope"
C = ["source", "shop.Customer"]
FIRST = method(0, "first")

#: kind -> a request for something that this client must not have (with MODEL or NAME in it), which has to be refused
#: like a probe for a missing object.
DENIED = {
    "source": [["source", "MODEL"], method(0, "count")],
    "method": [C, method(0, "filter", NAME="x"), method(1, "count")],
    "call": [C, ["call", 0, "CALL", [], {}]],
    "attr": [["literal", {"$instance": ["shop.Customer", 1]}], ["attr", 0, "NAME"]],
    "item": [C, method(0, "values", "id"), ["item", 1, {"$slice": [0, 2, None]}], ["rows", 2, ["NAME"]]],
    "operator": [C, method(0, "filter", NAME="x"), ["operator", "or_", [ref(0), ref(1)]], method(2, "count")],
    "literal": [["literal", [{"$instance": ["MODEL", 1]}]]],
    "rows": [C, ["rows", 0, ["id", "NAME"]]],
    "column": [C, ["rows", 0, ["NAME"]], ["column", 1, "NAME"]],
    "save": [["save", "shop.Customer", {"id": 1, "NAME": "x"}, False, {}]],
    "insert": [["insert", "shop.Customer", ["NAME"], ["str"], [["x"]], {}]],
    "param": [C, ["param", 0], ["attr", 1, "NAME"], ["map", 0, 1, 2, False]],
    "map": [C, method(0, "filter", NAME="x"), ["param", 0], ["attr", 2, "id"], ["map", 1, 2, 3, False]],
    "where": [C, method(0, "filter", NAME="x"), ["param", 0], ["attr", 2, "id"], ["where", 1, 2, 3]],
    "fold": [C, method(0, "values_list", "NAME"), ["fold", "min", 1]],
    "cond": [C, method(0, "filter", NAME="x"), method(1, "exists"), ["cond", 2, 2, 2]],
    "schema": [["schema", ["MODEL"]]],
    "function": [["function", "CALL", [], {}, False]],
    "shipped": [["shipped", "NAME", "3.11", "gC4=", [], {}, True]],
    "outcome": [["outcome", "REQUEST", True]],
    "about": [["about"]],
}
#: Kinds with a probe that has to read its element first.
READ_FIRST = {"attr", "param"}


def probe(kind, *, known):
    """The probe of ``kind`` for an object that exists and is hidden from this client, or for a missing object."""
    text = json.dumps(DENIED[kind])
    names = {
        "MODEL": ("auth.User", "auth.Usor"),
        "CALL": ("_raw_delete", "_row_delete"),
        "NAME": (HIDDEN, UNKNOWN),
        "REQUEST": ("of-another", "of-nobody"),
    }
    for name, (there, nowhere) in names.items():
        text = text.replace(name, there if known else nowhere)
    return json.loads(text)


@pytest.fixture
def refused_function(monkeypatch):
    """A function that this client may not call."""
    from django_rpc.server import site
    from django_rpc.server.registry.functions import ServerFunction

    def never(request):
        return False

    monkeypatch.setitem(site.functions, "drop_all", ServerFunction("drop_all", lambda: "done", permission=never))


@pytest.fixture(autouse=True)
def secrets(shop_data):
    Customer.objects.update(secret_note="the secret")


def test_every_kind_of_node_has_a_probe():
    assert set(DENIED) == set(KINDS)
    for kind, nodes in DENIED.items():
        assert kind in {node[0] for node in nodes}


def said(value):
    """Return the answer without the parts that differ for each request: the time and the id."""
    if type(value) is not dict:
        return value
    return {key: one for key, one in value.items() if key not in ("at", "seconds", "answer")}


@pytest.mark.parametrize("kind", DENIED)
def test_a_denied_name_in_each_kind_of_node(kind, send):
    there, nowhere = send(probe(kind, known=True)), send(probe(kind, known=False))
    assert there.code == nowhere.code
    if there.error is None:  # it exists for no client: the answer reveals nothing
        assert list(map(said, there.answer["outputs"])) == list(map(said, nowhere.answer["outputs"]))
        assert kind in ("schema", "outcome", "about")
        return
    told = there.message
    for name, instead in (("auth.User", "auth.Usor"), ("_raw_", "_row_"), (HIDDEN, UNKNOWN)):
        told = told.replace(name, instead)
    assert told == nowhere.message
    if kind not in READ_FIRST:
        assert there.data_statements == []


def test_denied_function_is_like_unknown_function(send, refused_function):
    there, nowhere = send([["function", "drop_all", [], {}, False]]), send([["function", "drop_nil", [], {}, False]])
    assert there.message.replace("drop_all", "drop_nil") == nowhere.message
    assert there.data_statements == []
    assert "drop_all" not in send([["about"]]).text


#: tag -> values that the decoder must not accept for it.
BROKEN = {
    "$ref": [-1, 99, "0", None, 1.5, True],
    "$int": ["x", "1" * 2_000, 5, "0x10", "1_0", " 1", "١"],
    "$float": ["1.5", "NAN", 1, None],
    "$decimal": ["1e999999999", "x", "1e99999999999999999999", 1, "1_0"],
    "$datetime": ["2024-13-01T00:00:00", "now", ["2024-01-01T00:00:00", "../../etc/passwd", 0], 1],
    "$date": ["2024-02-30", "today", 1, "2024-1-1"],
    "$time": ["25:00:00", "noon", 1],
    "$duration": ["P9999999999999999D", "1 day", 5],
    "$offset": ["P9D", "x"],
    "$zone": ["../../etc/passwd", "/etc/passwd", "Nowhere/Land", 1, "a" * 500],
    "$uuid": ["x", "{12345678-1234-5678-1234-567812345678}", 1],
    "$bytes": ["!!", 1, "AP8"],
    "$tuple": [1, {"a": 1}],
    "$set": [1, [[1]]],
    "$frozenset": [1, [{"a": 1}]],
    "$dict": [1, [[1]], [[[1], 2]]],
    "$slice": [1, [1, 2], [1, 2, 3, 4]],
    "$expr": [
        "F",
        ["F"],
        ["F", ["a"]],
        ["eval", ["1"], {}],
        ["Func", [], {"template": "1"}],
        ["RawSQL", ["1", []], {}],
    ],
    "$q": [
        ["AND"],
        [") OR (1=1", False, []],
        ["AND", "no", []],
        ["AND", False, [["_connector", "OR"]]],
        ["AND", False, [5]],
    ],
    "$instance": [["shop.Customer"], ["__import__", 1], ["shop.Customer", {"id": 1}], ["shop.Customer", None]],
    "$record": [["shop.Customer", ["id"], [1, 2]], ["x", [], []], 5],
    "$table": [["shop.Customer", ["id"], ["int"], [["x"]]], ["shop.Customer", ["id"], ["eval"], [[1]]], 5],
    "$rows": [[["id"], ["int", "int"], [[1]]], [["id"], ["int"], [["x"]]], 5],
    "$named": [
        ["id"],
        [["id", "name"], [1]],
        [["id"], 5],
        [["_id"], [1]],
        [["class"], [1]],
        [["id", "id"], [1, 2]],
        [[5], [1]],
        5,
    ],
    "$given": ["x", 5, None, [0], [0, 0], [-1, 0], [1, "x"]],
    "$error": [5, {"code": 5}, {"message": "x"}],
}


def test_every_tag_has_a_probe():
    assert set(BROKEN) == set(TAGS)


@pytest.mark.parametrize("tag", BROKEN)
def test_a_broken_value_is_refused_by_the_decoder(tag, send):
    for value in BROKEN[tag]:
        answered = send([C, ["literal", {tag: value}], method(0, "count")])
        assert answered.code in ("BadValue", "BadMessage", "ForwardReference", "UnknownTag"), (value, answered.answer)
        assert answered.statements == []


#: Places of a name among the arguments of a method.
ARGUMENTS = {
    "a text": ((HIDDEN,), {}),
    "a path": ((f"referred_by__{HIDDEN}__startswith",), {}),
    "a list": (([HIDDEN],), {}),
    "an expression": ((expr("F", HIDDEN),), {}),
    "a condition": (({"$q": ["AND", False, [[f"{HIDDEN}__startswith", "t"]]]},), {}),
    "a keyword": ((), {f"{HIDDEN}__startswith": "t"}),
    "a value": ((), {"name": expr("F", HIDDEN)}),
    "a value among defaults": ((), {"pk": 1, "defaults": {"name": expr("F", HIDDEN)}}),
    "defaults": ((), {"pk": 1, "defaults": {HIDDEN: "x"}}),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_hidden_name_in_each_argument_of_each_method(name, send):
    """On a query, an instance, a relation and a value: as if there were no such name."""
    text = ["literal", "text" if name != "join" else "-"]
    for on in ([C], [C, FIRST], [C, FIRST, ["attr", 1, "orders"]], [text]):
        for what, (args, kwargs) in ARGUMENTS.items():
            nodes = [*on, method(len(on) - 1, name, *args, **kwargs)]
            hidden = send(nodes)
            unknown = send(json.loads(json.dumps(nodes).replace(HIDDEN, UNKNOWN)))
            if name == "join" and on == [text]:
                continue  # a text between its letters is another text
            told = hidden.text.partition(',"outputs"')[2].replace(HIDDEN, UNKNOWN)
            assert told == unknown.text.partition(',"outputs"')[2], what
            assert "the secret" not in hidden.text


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_hidden_name_in_each_expression(name, send):
    """In every expression of the vocabulary, at each place of a text or an expression."""
    for part in (HIDDEN, expr("F", HIDDEN)):
        for args in ([part], [part, part], ["name", part], [expr("F", "name"), 1, part], [expr("Value", 1), "+", part]):
            for nodes in (
                [C, method(0, "annotate", x=expr(name, *args)), FIRST],
                [C, method(0, "filter", expr(name, *args))],
            ):
                nodes[-1] = method(1, "first") if nodes[-1] is FIRST else nodes[-1]
                answered = send(nodes)
                assert "the secret" not in answered.text
                assert not any(
                    f'"{HIDDEN}"' in sql.partition(" FROM ")[2].partition(" GROUP BY ")[0]
                    for sql in answered.data_statements
                )


def test_every_operator_takes_only_plain_values(send):
    for name, arity in OPERATORS.items():
        answered = send([C, ["operator", name, [ref(0)] * arity]])
        assert name in ("eq", "ne", "not_", "and_", "or_", "xor", "contains") or answered.code == "TypeError", name
        assert "secret" not in answered.text


def test_the_probes_are_bytes():
    assert written([C]).startswith(b'{"v": 1')
