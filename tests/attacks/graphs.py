"""Random messages: graphs of the vocabulary with hostile names and values in them, and broken ones made of these.

All is plain JSON; nothing of our own client's code is used, which would refuse most of it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from django_rpc.graph.nodes import KINDS
from django_rpc.graph.vocabulary.names import CONNECTORS, DATE_PARTS, EXPRESSIONS, FIELDS, METHODS, OPERATORS
from django_rpc.wire.rows import COLUMN_TYPES
from django_rpc.wire.tags import TAGS

MODELS = ["shop.Customer", "shop.Order", "shop.Line", "shop.Product", "shop.Tag", "shop.Product.tags", "auth.User"]
NAMES = (
    "id pk name email city credit joined notes secret_note customer customer_id orders lines order product products "
    "tags number total created status sku price attributes category title referred_by referrals is_large profile x y"
).split()
#: Names that must never do anything.
HOSTILE = [
    "_connector",
    "__class__",
    "_meta",
    "_state",
    "password",
    'x" FROM y; --',
    "a.b",
    "x\ny",
    "",
    "$ref",
    "objects",
    "save",
    "delete",
    "%s",
    "x" * 64,
    "?",
    "-id",
    "*",
]
LOOKUPS = "exact in gt lt contains startswith regex isnull range year has_key iexact bogus".split()
#: The usual number of arguments of an expression, if it is not 1.
ARITY = {
    **dict.fromkeys("Now Pi Random Star CumeDist DenseRank PercentRank Rank RowNumber JSONObject".split(), 0),
    **dict.fromkeys(
        "Coalesce Greatest Least NullIf Concat ConcatPair Power Mod Log ATan2 Left Right StrIndex Repeat".split(), 2
    ),
    **dict.fromkeys("KeyTransform KeyTextTransform NthValue Lag Lead".split(), 2),
    **dict.fromkeys("Replace LPad RPad Substr".split(), 3),
    **{name: 2 for name in EXPRESSIONS if name.startswith("lookup:")},
}
CALLS = ["top_spenders", "delete", "raw", "extra", "basket_total", "rename_tag", "nope"]


class Choices:
    """Where the generator has its decisions from: a ``random.Random``, or anything with a ``randrange``."""

    def __init__(self, randrange: Any) -> None:
        self.randrange = randrange

    def one(self, options: Any) -> Any:
        options = options if isinstance(options, list) else sorted(options)
        return options[self.randrange(len(options))]

    def chance(self, one_in: int) -> bool:
        return self.randrange(one_in) == 0

    def rarely(self, hostile: list[Any], usual: Any) -> Any:
        """One of ``usual``, and now and then one of ``hostile``."""
        return self.one(hostile) if self.chance(50) else self.one(usual)

    def times(self, most: int) -> range:
        return range(self.randrange(most + 1))


class Graph:
    """Builds one request.  ``nodes`` are those so far; ``queries`` the places of those that are queries."""

    def __init__(self, choices: Choices) -> None:
        self.choose = choices
        self.nodes: list[Any] = []
        self.queries: list[int] = []

    # Names

    def name(self) -> str:
        return str(self.choose.rarely(HOSTILE, NAMES))

    def path(self) -> str:
        names = [self.name() for _ in range(1 + self.choose.randrange(3))]
        if self.choose.chance(3):
            names.append(self.choose.one(LOOKUPS))
        return "__".join(names)

    # Values

    def value(self, depth: int = 0) -> Any:
        choose = self.choose
        if depth > 3 or not choose.chance(3):
            return self.atom()
        kind = choose.randrange(6)
        if kind == 0:
            return [self.value(depth + 1) for _ in choose.times(3)]
        if kind == 1:
            return {self.name(): self.value(depth + 1) for _ in choose.times(2)}
        if kind == 2:
            return self.expression(depth + 1)
        if kind == 3:
            return self.condition(depth + 1)
        if kind == 4 and self.nodes:
            return self.reference()
        return self.tagged(depth + 1)

    def atom(self) -> Any:
        numbers = [0, 1, -1, 2, 7, 2**31, 2**63 - 1, -(2**63), 1.5, -0.0, 1e308]
        texts = ["", "a", "secret_note", "CANARY", "(a+)+$", "\0", "é", "\u202e", "1", "%", "2024-01-01", "a" * 300]
        options = [None, True, False, *numbers, *texts]
        return options[self.choose.randrange(len(options))]

    def reference(self) -> Any:
        return {"$ref": self.place()}

    def tagged(self, depth: int) -> Any:
        choose = self.choose
        tag = choose.one(TAGS)
        made = {
            "$int": choose.rarely(["1" * 1200, "x"], ["9223372036854775808", "-1" + "0" * 30]),
            "$float": choose.rarely(["1"], ["nan", "inf"]),
            "$decimal": choose.rarely(["1e999999999"], ["1.50", "NaN", "0e-1000", "-1"]),
            "$datetime": choose.one(
                ["2024-01-02T03:04:05", "2024-01-02T00:00:00Z", ["2024-10-27T02:30:00", "Asia/Tokyo", 1]]
            ),
            "$date": choose.rarely(["2024-02-30", "0000-00-00"], ["2024-02-29", "0001-01-01"]),
            "$time": choose.one(["23:59:59", ["01:00:00", None, 1]]),
            "$duration": choose.rarely(["P999999999999D"], ["P1DT2.000003S", "-PT1S", "P999999999D"]),
            "$zone": choose.rarely(["../../etc/passwd", "localtime"], ["Europe/Berlin"]),
            "$offset": choose.rarely(["P9D"], ["PT3600S"]),
            "$uuid": choose.rarely(["x"], ["12345678-1234-5678-1234-567812345678"]),
            "$bytes": choose.rarely(["!!"], ["AP8="]),
            "$slice": [choose.one([None, 0, 1, -1, 5]), choose.one([None, 1, 10, -2]), choose.one([None, 1, 0, 2])],
            "$instance": [
                choose.one(MODELS),
                choose.rarely([{"id": 1}, None, {"$tuple": [1, 2]}, "x"], [choose.randrange(50)]),
            ],
        }
        if tag in made:
            return {tag: made[tag]}
        if tag == "$ref":
            return self.reference()
        if tag == "$expr":
            return self.expression(depth)
        if tag == "$q":
            return self.condition(depth)
        if tag == "$dict":
            return {tag: [[self.value(depth + 1), self.value(depth + 1)] for _ in choose.times(2)]}
        return {tag: [self.value(depth + 1) for _ in choose.times(2)]}

    def condition(self, depth: int = 0) -> Any:
        children: list[Any] = [[self.path(), self.value(depth + 1)] for _ in range(1 + self.choose.randrange(2))]
        if self.choose.chance(4) and depth < 3:
            children.append(self.condition(depth + 1) if self.choose.chance(2) else self.expression(depth + 1))
        return {"$q": [self.choose.rarely([") OR 1=1 --"], ["AND", "OR", "XOR"]), self.choose.chance(3), children]}

    def expression(self, depth: int = 0) -> Any:
        choose = self.choose
        if depth > 3 or choose.chance(2):
            return {"$expr": [choose.one(["F", "F", "OuterRef"]), [self.path()], {}]}
        if choose.chance(6):
            return {
                "$expr": [
                    choose.one(FIELDS),
                    [],
                    {"max_length": choose.rarely(["5)"], [5])} if choose.chance(2) else {},
                ]
            }
        name = choose.one(EXPRESSIONS)
        args = [
            self._argument(name, depth)
            for _ in range(ARITY.get(name, 1) + (choose.randrange(3) - 1 if choose.chance(5) else 0))
        ]
        if name == "CombinedExpression":
            args = [self.expression(depth + 1), choose.rarely(["; --"], CONNECTORS), self.expression(depth + 1)]
        elif name in ("Extract", "Trunc"):
            args = [self.path(), choose.rarely(["year', now()) --"], DATE_PARTS)]
        elif name == "When":
            args = [self.condition(depth + 1), self.expression(depth + 1)]
        elif name == "FilteredRelation":
            args = [self.path()]
        keywords = {key: self._keyword(key, depth) for key in sorted(EXPRESSIONS[name]) if choose.chance(4)}
        if choose.chance(30):
            keywords[choose.one(["template", "function", "arg_joiner", "db_collation", "extra"])] = "%(x)s; --"
        return {"$expr": [name, args, keywords]}

    def _argument(self, name: str, depth: int) -> Any:
        choose = self.choose
        if name in ("Subquery", "Exists", "Prefetch") and self.queries and not choose.chance(4):
            return {"$ref": choose.one(self.queries)} if name != "Prefetch" else self.path()
        if choose.chance(3):
            return self.path()
        if choose.chance(2):
            return self.expression(depth + 1)
        return self.value(depth + 1)

    def _keyword(self, key: str, depth: int) -> Any:
        choose = self.choose
        if key == "output_field":
            return {"$expr": [choose.one(FIELDS), [], {}]}
        if key in ("connector",):
            return choose.rarely(["; --"], CONNECTORS)
        if key in ("kind", "lookup_name"):
            return choose.rarely(["year', now()) --"], DATE_PARTS)
        if key in ("name", "lookup", "relation_name", "to_attr"):
            return self.path()
        if key in ("filter", "condition"):
            return self.condition(depth + 1)
        if key in ("start", "end", "offset", "length", "nth", "precision", "pos"):
            return choose.one([None, 0, 1, -1, 3, "1", 10**9])
        return self.value(depth + 1)

    # Nodes

    def place(self) -> int:
        if self.choose.chance(150):
            return self.choose.one([-1, len(self.nodes), 10**6])
        return self.choose.randrange(max(len(self.nodes), 1))

    def parent(self, query: bool = True) -> int:
        return self.choose.one(self.queries) if query and self.queries and not self.choose.chance(5) else self.place()

    def add(self, node: Any, query: bool = False) -> int:
        self.nodes.append(node)
        if query:
            self.queries.append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def method(self) -> None:
        choose = self.choose
        name = (
            choose.one(METHODS)
            if not choose.chance(3)
            else choose.one(["filter", "values", "annotate", "first", "get", "count", "order_by"])
        )
        args, kwargs = self._arguments(name)
        self.add(["method", self.parent(), name, args, kwargs], METHODS[name].returns_query)

    def _arguments(self, name: str) -> tuple[list[Any], dict[str, Any]]:
        choose = self.choose
        if name in ("filter", "exclude", "get", "get_or_create", "update_or_create"):
            return [self.condition() for _ in choose.times(1)], {self.path(): self.value() for _ in choose.times(2)}
        if name in (
            "order_by",
            "values",
            "values_list",
            "only",
            "defer",
            "distinct",
            "select_related",
            "latest",
            "earliest",
        ):
            named = {"flat": True} if name == "values_list" and choose.chance(4) else {}
            return [self.path() if not choose.chance(5) else self.expression() for _ in choose.times(2)], named
        if name in ("annotate", "alias", "aggregate"):
            return [], {self.name(): self.expression() for _ in range(1 + choose.randrange(2))}
        if name in ("union", "intersection", "difference", "and_", "or_", "xor"):
            return [{"$ref": self.parent()} for _ in choose.times(2)], {}
        if name in ("create", "update", "getset"):
            return [], {self.name(): self.value() for _ in choose.times(3)}
        if name in ("dates", "datetimes"):
            return [self.path(), choose.rarely(["x"], DATE_PARTS)], {}
        if name == "prefetch_related":
            return [self.path() if choose.chance(2) else {"$expr": ["Prefetch", [self.path()], {}]}], {}
        if name in (
            "all",
            "count",
            "exists",
            "first",
            "last",
            "reverse",
            "none",
            "sticky",
            "clear_limits",
            "save",
            "delete",
        ):
            return [], {}
        if name in (
            "explain",
            "select_for_update",
            "clear_ordering",
            "default_ordering",
            "clear_select_clause",
            "refresh",
        ):
            return [], {}
        if name == "in_bulk":
            return [self.choose.one([[1, 2, 30], self.value()])], {"field_name": self.path()} if choose.chance(
                2
            ) else {}
        if name == "through_columns":
            return [], {
                choose.rarely(["id", "pk"], ["rpc_through__x"]): [
                    choose.one(["shop.Product.tags", *MODELS]),
                    self.name(),
                ]
            }
        if name in ("add_ordering", "filter_reuse", "contains"):
            made = {"add_ordering": self.path, "filter_reuse": self.condition, "contains": self.reference}
            return [made[name]()], {}
        if name in ("add_fields", "bulk_update"):
            return [[self.path()], [[choose.randrange(9), self.value()]]], {}
        return [self.value() for _ in choose.times(2)], {self.name(): self.value() for _ in choose.times(1)}

    def node(self) -> None:
        choose, place = self.choose, self.place
        kind = choose.one([*sorted(KINDS), *["method"] * 14, *["source"] * 3])
        if kind == "method":
            self.method()
        elif kind == "source":
            self.add(["source", choose.one(MODELS)], True)
        else:
            made = {
                "call": lambda: [self.parent(), choose.one(CALLS), [self.value()], {}],
                "attr": lambda: [place(), self.name()],
                "item": lambda: [
                    self.parent(),
                    choose.one([0, -1, 5, "id", {"$slice": [0, 3, None]}, self.reference()]),
                ],
                "operator": self._operator,
                "literal": lambda: [self.value()],
                "rows": lambda: [self.parent(), [self.path() for _ in range(1 + choose.randrange(3))]],
                "column": self._column,
                "save": lambda: [
                    choose.one(MODELS),
                    {self.name(): self.value() for _ in choose.times(3)},
                    choose.chance(2),
                    {},
                ],
                "insert": lambda: [
                    choose.one(MODELS),
                    ["name"],
                    [choose.one(COLUMN_TYPES)],
                    [[self.value()]],
                    self._conflict(),
                ],
                "param": lambda: [choose.randrange(3)],
                "map": lambda: [self.parent(), *self._body(), choose.chance(2)],
                "where": lambda: [self.parent(), *self._body()],
                "fold": lambda: [choose.rarely(["eval"], ["sum", "min", "max", "any", "all", "len"]), place()],
                "cond": lambda: [place(), place(), place()],
                "schema": lambda: [[choose.one(MODELS)] if choose.chance(2) else ["shop.Tag"]],
                "function": lambda: [choose.one(CALLS), [self.value()], {}, choose.chance(2)],
                "shipped": lambda: [
                    *("f", choose.rarely(["x", ""], ["3.11", "3.7"])),
                    *(choose.rarely(["!!", 5], ["gASVAAAA", ""]), [self.value()], {}, choose.chance(2)),
                ],
                "about": lambda: choose.rarely([["x"]], [[]]),
                "outcome": lambda: [choose.rarely(["a b"], ["r1", "x"]), choose.chance(4)],
            }
            self.add([kind, *made[kind]()])

    def _body(self) -> list[int]:
        """The uses of an element and of the results of its operations."""
        if self.choose.chance(20):
            return [self.place(), self.place()]
        param = self.add(["param", self.choose.randrange(2)])
        body = self.add(["attr", param, self.name()])
        if self.choose.chance(2):
            body = self.add(["method", body, self.choose.one(["count", "first", "filter", "values"]), [], {}])
        return [param, body]

    def _column(self) -> list[Any]:
        path = self.path()
        return [self.add(["rows", self.parent(), [path]]), path]

    def _operator(self) -> list[Any]:
        name = self.choose.one(OPERATORS)
        return [name, [self.reference() if self.choose.chance(2) else self.value() for _ in range(OPERATORS[name])]]

    def _conflict(self) -> dict[str, Any]:
        return {"on_conflict": self.choose.rarely(["drop"], ["ignore", "update"])} if self.choose.chance(3) else {}

    def message(self) -> dict[str, Any]:
        choose = self.choose
        self.add(["source", choose.one(MODELS[:5])], True)
        for _ in range(1 + choose.randrange(8)):
            self.node()
        outputs = [len(self.nodes) - 1] if not choose.chance(3) else [self.place() for _ in choose.times(3)]
        made: dict[str, Any] = {"v": 1, "id": f"f{choose.randrange(10**9)}", "nodes": self.nodes, "outputs": outputs}
        if choose.chance(10):
            made["asking"] = choose.rarely(["eval"], ["explain", "profile"])
        if choose.chance(10):
            made["shapes"] = {choose.one(MODELS): [self.name() for _ in choose.times(2)]}
        if choose.chance(10):
            made["trace"] = True
        if choose.chance(20):
            made["expires"] = choose.rarely([0, "x"], [10**12])
        return made


def message(choices: Choices) -> bytes:
    """Return the bytes of a message: every third message is broken afterwards."""
    made = Graph(choices).message()
    if choices.chance(6):
        made = _mutated(made, choices)
    data = json.dumps(made).encode()
    return _broken(data, choices) if choices.chance(8) else data


def _mutated(made: Any, choices: Choices) -> Any:
    """With some of its parts in the places of others."""
    parts: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            parts.append((value, key))
            walk(value[key])

    for _ in range(1 + choices.randrange(3)):
        parts.clear()
        walk(made)
        holder, key = parts[choices.randrange(len(parts))]
        other, theirs = parts[choices.randrange(len(parts))]
        kind = choices.randrange(4)
        if kind == 0:
            holder[key] = choices.one(["null", "[]", "{}", '"x"', "-1", "1e400", '{"$ref":0}', '[["literal",1]]'])
            holder[key] = json.loads(holder[key])
        elif kind == 1:
            holder[key] = copy.deepcopy(other[theirs])
        elif kind == 2 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(other[theirs]))
        elif isinstance(holder, list):
            del holder[key]
    return made


def _broken(data: bytes, choices: Choices) -> bytes:
    text = bytearray(data)
    for _ in range(1 + choices.randrange(4)):
        at = choices.randrange(len(text) or 1)
        kind = choices.randrange(4)
        if kind == 0:
            text[at : at + 1] = bytes([choices.randrange(256)])
        elif kind == 1:
            del text[at : at + 1 + choices.randrange(8)]
        elif kind == 2:
            text[at:at] = choices.one([b"[" * 300, b'"', b"\\ud800", b"\xff", b"}", b",", b"1e9999", b"\0"])
        else:
            text = text[:at]
    return bytes(text)
