"""Small messages with large effects: refused in milliseconds, or ended by their limit, with flat memory."""

from __future__ import annotations

import datetime
import tracemalloc

import pytest

from django_rpc.demo.server.shop.models import Customer
from django_rpc.server.core.limits import DEFAULT

from .conftest import expr, method, ref, written

CUSTOMERS = ["source", "shop.Customer"]
LEVELS = 40  # 2 to this power: too much to wait for
QUICK = 2.0  # seconds of CPU time; without the defence no request ends


@pytest.fixture(autouse=True)
def rows(shop_data):
    pass


def refused(answered, limit, code="TooManyNodes", seconds=QUICK):
    assert answered.code == code, answered.text[:300]
    assert f"limit '{limit}'" in answered.message
    assert answered.data_statements == []
    assert answered.seconds < seconds


def diamond(first, step, levels=LEVELS):
    """Each level names the one before twice."""
    nodes = [*first]
    for _ in range(levels):
        nodes += step(len(nodes) - 1)
    return nodes


def nested(parent):
    return [
        method(0, "filter", pk__in=ref(parent), id__in=ref(parent)),
        method(parent + 1, "values", "pk"),
    ]


def test_queries_in_queries(send):
    nodes = diamond([CUSTOMERS, method(0, "values", "pk")], nested, levels=12)
    refused(send([*nodes, method(len(nodes) - 1, "count")]), "subqueries")


def test_queries_in_queries_that_are_explained(send):
    nodes = diamond([CUSTOMERS, method(0, "values", "pk")], nested, levels=12)
    refused(send([*nodes, method(len(nodes) - 1, "count")], asking="explain"), "subqueries")


def test_many_queries_with_many_in_each(send):
    nodes = [
        CUSTOMERS,
        method(0, "values", "pk"),
        method(0, "filter", {"$q": ["AND", False, [["pk__in", ref(1)]] * 400]}),
    ]
    nodes += [method(0, "filter", pk__in=ref(2)) for _ in range(9_000)]
    refused(send(nodes), "steps")


def test_expressions_in_expressions(send):
    nodes = diamond(
        [["literal", expr("F", "name")]], lambda at: [["literal", expr("Concat", ref(at), ref(at))]], levels=16
    )
    refused(send([*nodes, CUSTOMERS, method(len(nodes), "annotate", x=ref(len(nodes) - 1))]), "subqueries")


def test_annotations_of_annotations(send):
    nodes = [CUSTOMERS]
    for level in range(LEVELS):
        before = f"a{level - 1}" if level else "name"
        nodes.append(method(level, "annotate", **{f"a{level}": expr("Concat", before, before)}))
    refused(send([*nodes, method(len(nodes) - 1, "first")]), "steps")


def expression_that_is_named_often(times=300):
    nodes = [CUSTOMERS]
    for level in range(11):
        before = f"a{level - 1}" if level else "name"
        nodes.append(method(level, "annotate", **{f"a{level}": expr("Concat", before, before)}))
    often = {"$q": ["OR", False, [["a10__startswith", "a"]] * times]}
    return [*nodes, method(11, "filter", often), method(12, "count")]


def test_an_expression_that_is_named_often(send, settings_of_server):
    """Each condition on an annotation writes it out once more."""
    settings_of_server(
        CLIENTS={"anonymous": {"limits": {"steps": 100_000}}}
    )  # by the default it takes ten times as long
    refused(send(expression_that_is_named_often()), "steps", seconds=30)


def test_the_clock_runs_while_a_query_is_written(send, settings_of_server):
    """A query that takes a minute to be written has run no statement that a database could stop."""
    settings_of_server(CLIENTS={"anonymous": {"limits": {"seconds": 0.5, "steps": 10**9}}})
    refused(send(expression_that_is_named_often(160)), "seconds", "DeadlineExceeded", seconds=8)


def test_lists_of_lists_that_are_compared(send):
    one = diamond([["literal", [1]]], lambda at: [["literal", [ref(at), ref(at)]]])
    answered = send([*one, ["operator", "eq", [ref(LEVELS), ref(LEVELS)]]])
    refused(answered, "response_bytes", "ResponseTooLarge")


def test_lists_that_are_multiplied(send):
    nodes = diamond(
        [["literal", [1] * 1000]],
        lambda at: [["literal", [ref(at)]], ["operator", "mul", [ref(at + 1), 1000]]],
        levels=4,
    )
    refused(send(nodes), "response_bytes", "ResponseTooLarge")


def test_tuples_deeper_than_the_stack(send):
    def deeper(at):
        value = ref(at)
        for _ in range(30):
            value = {"$tuple": [value]}
        return [["literal", value]]

    nodes = diamond([["literal", {"$tuple": [1]}]], deeper, levels=200)
    answered = send([*nodes, ["literal", {"$set": [ref(200)]}]])
    refused(answered, "depth", "MessageTooDeep")


def test_texts_that_are_made(send):
    text = ["literal", "a" * 1_000_000]
    answered = send([text, *[["operator", "add", [ref(0), ref(0)]]] * 200])
    refused(answered, "response_bytes", "ResponseTooLarge")
    answered = send([text, ["literal", [ref(0)] * 3], ["literal", ","], *[method(2, "join", ref(1))] * 100])
    refused(answered, "response_bytes", "ResponseTooLarge")
    assert send([text, ["literal", [ref(0)] * 100], method(0, "join", ref(1))]).code == "ValueError"


def test_texts_that_are_cut_into_pieces(send):
    """A hundred megabytes of short texts are made from two texts, and as many from a long text, in single steps."""
    text = [["literal", "aab"], ["operator", "mul", [ref(0), 1_000_000]], ["literal", "b"]]
    pieces = [["method", 1, "split", [ref(2)], {}]] * 20
    refused(send([*text, *pieces]), "response_bytes", "ResponseTooLarge", seconds=30)
    text = [["literal", "a"], ["operator", "mul", [ref(0), 10_000_000]]]
    rests = [["item", 1, {"$slice": [start, None, None]}] for start in range(1, 60)]
    refused(send([*text, *rests, ["literal", 1]]), "response_bytes", "ResponseTooLarge", seconds=30)


def test_repeated_output_is_counted(send):
    tracemalloc.start()
    answered = send([["literal", "a" * 1_000_000]], outputs=[0] * 1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answered.code == "ResponseTooLarge"
    assert peak < 3 * DEFAULT.response_bytes


def test_repeated_description_is_counted(send, monkeypatch):
    from django_rpc.server.evaluate import evaluation

    made = []
    monkeypatch.setattr(
        evaluation, "describe_models", lambda *args, make=evaluation.describe_models: made.append(1) or make(*args)
    )
    assert send([["schema", []]] * 200, outputs=[0]).error is None
    assert len(made) == 1


def test_joins(send):
    path = "__".join(["lines", "order"] * 17)
    for nodes in (
        [["source", "shop.Order"], method(0, "filter", **{f"{path}__id__gt": 0}), method(1, "count")],
        [["source", "shop.Order"], method(0, "values_list", f"{path}__id", flat=True)],
        [["source", "shop.Order"], ["rows", 0, [f"{path}__id"]]],
    ):
        refused(send(nodes), "joins")


def test_texts_of_the_database_that_are_read(send, settings_of_server):
    settings_of_server(LIMITS={"response_bytes": 100_000}, CLIENTS={"anonymous": {}})
    big = expr("Case", expr("When", {"$q": ["AND", False, [["id__gt", 1]]]}, expr("Value", "a" * 50_000)))
    query = [CUSTOMERS, method(0, "annotate", x=big), method(1, "order_by", "id")]
    counted = send([*query, method(2, "values_list", "x"), ["fold", "len", 3]])
    assert counted.code == "ResponseTooLarge", "however short the answer is"
    for last in (["rows", 2, ["id", "x"]], method(2, "values_list", "x"), method(2, "last")):
        answered = send([*query, last])
        assert answered.code == ("answered" if last[2] == "last" else "ResponseTooLarge"), answered.text[:300]


# Searches


CATASTROPHES = ["(a+)+$", "(a|a)*$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){25}"]


@pytest.mark.parametrize(("pattern", "length"), [*((pattern, 60) for pattern in CATASTROPHES), ("(a+)+$", 27)])
def test_catastrophic_searches(send, settings_of_server, pattern, length):
    settings_of_server(LIMITS={"seconds": 0.7}, CLIENTS={"anonymous": {}})
    nodes = [
        CUSTOMERS,
        method(0, "annotate", x=expr("Value", "a" * length + "!")),
        method(1, "filter", x__regex=pattern),
        method(2, "count"),
    ]
    answered = send(nodes)
    assert answered.error is None or answered.code in ("DeadlineExceeded", "OperationalError"), answered.text
    assert answered.seconds < 5


def test_a_search_is_a_search(send):
    Customer.objects.filter(pk=1).update(name="Zoë (1)")
    for lookup, pattern, found in (
        ("regex", r"^Zo. \(\d\)$", 1),
        ("iregex", "^ZOË", 1),
        ("regex", "^zoë", 0),
        ("regex", "[", None),
    ):
        answered = send([CUSTOMERS, method(0, "filter", **{f"name__{lookup}": pattern}), method(1, "count")])
        if found is None:  # SQLite reports it in another way than PostgreSQL
            assert answered.code in ("OperationalError", "DataError"), answered.text
        else:
            assert answered.output == found, answered.text


@pytest.mark.parametrize(
    ("name", "args"), [("Repeat", ["name", 10**9]), ("LPad", ["name", 10**9]), ("RPad", ["name", 10**9])]
)
def test_texts_that_the_database_makes(send, name, args, settings_of_server):
    settings_of_server(LIMITS={"seconds": 3}, CLIENTS={"anonymous": {}})
    nodes = [
        CUSTOMERS,
        method(0, "annotate", x=expr("Length", expr(name, *args))),
        method(1, "values_list", "x"),
        ["item", 2, 0],
    ]
    answered = send(nodes)
    assert answered.code == "ResponseTooLarge", answered.text[:200]


@pytest.mark.parametrize("name", ["Repeat", "LPad", "RPad"])
def test_text_growth_by_database_numbers(send, name, settings_of_server):
    settings_of_server(LIMITS={"seconds": 3}, CLIENTS={"anonymous": {}})
    number = expr("Power", expr("Value", 10), 9)
    nodes = [
        CUSTOMERS,
        method(0, "annotate", number=number),
        method(1, "annotate", x=expr("Length", expr(name, "name", expr("F", "number")))),
        method(2, "values_list", "x"),
        ["item", 3, 0],
    ]
    answered = send(nodes)
    assert answered.code == "ResponseTooLarge", answered.text[:200]


# Exhaustion of a parser


def lists_in_lists(depth):
    return [lists_in_lists(depth - 1)] if depth else []


HOSTILE_BYTES = {
    "depth": b'{"v":1,"id":"x","nodes":[["literal",' + b"[" * 100_000 + b"]" * 100_000 + b"]]}",
    "depth of what is read": written([["literal", lists_in_lists(300)]]),
    "depth in a text": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal","' + b"[" * 100_000 + b'\\""]]}',
    "ten megabytes of digits": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal",' + b"9" * 10_000_000 + b"]]}",
    "digits in a tag": written([["literal", {"$int": "9" * 3_000_000}]]),
    "a decimal": written([["literal", {"$decimal": "1e999999999"}]]),
    "a decimal of digits": written([["literal", {"$decimal": "9" * 3_000_000}]]),
    "an exponent": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal",1e999999999]]}',
    "keys twice": b'{"v":1,"v":2,"id":"x","outputs":[0],"nodes":[["literal",1]]}',
    "many keys": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal",{' + b'"a":1,' * 100_000 + b'"a":1}]]}',
    "a forward reference": written([["literal", ref(0)]]),
    "itself": written([["method", 0, "count", [], {}]]),
    "half a character": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal","\\ud800"]]}',
    "no UTF-8": b'{"v":1,"id":"x","outputs":[0],"nodes":[["literal","\xff"]]}',
    "too many nodes": written([["literal", 1]] * 10_001),
    "too many outputs": written([["literal", 1]], outputs=[0] * 10_001),
    "nothing": b"",
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "jsonpickle": written(
        [["literal", {"py/object": "django.db.models.query_utils.Q", "py/reduce": ["os.system", "true"]}]]
    ),
    "yaml": b"!!python/object/apply:os.system ['true']",
    "another version": b'{"v":2,"id":"x","nodes":[],"outputs":[]}',
}


@pytest.mark.parametrize("what", HOSTILE_BYTES)
def test_bytes_that_exhaust_a_parser(send, what):
    tracemalloc.start()
    answered = send(HOSTILE_BYTES[what])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    allowed = {
        **dict.fromkeys(("depth", "depth of what is read"), "MessageTooDeep"),
        "depth in a text": "answered",
        "keys twice": "VersionMismatch",
        "many keys": "answered",
        "jsonpickle": "answered",  # a dict like any other
        "a forward reference": "ForwardReference",
        "itself": "ForwardReference",
        "another version": "VersionMismatch",
        **dict.fromkeys(("too many nodes", "too many outputs"), "TooManyNodes"),
        **dict.fromkeys(("digits in a tag", "a decimal", "a decimal of digits"), "BadValue"),
    }
    assert answered.code in (allowed.get(what, "BadMessage"), "BadValue"), answered.text[:300]
    assert answered.statements == []
    assert answered.seconds < 3
    assert peak < 12 * len(HOSTILE_BYTES[what]) + 5_000_000


def test_the_budget_of_a_chain_is_in_proportion_to_it(send):
    """A long chain is no attack: it is answered."""
    nodes = [CUSTOMERS, *[method(at, "filter", id__gt=0) for at in range(200)]]
    answered = send([*nodes, method(200, "count")])
    assert answered.output == 40
    assert answered.seconds < 5


# Texts that the database makes


REPEATED = expr("Repeat", expr("Value", "x"), 9_999_999)


def test_rows_are_read_in_chunks_that_fit(send, settings_of_server):
    """Each row is 1 MB: a chunk of 100 rows would be 100 MB before it is counted."""
    settings_of_server(LIMITS={"response_bytes": 3_000_000}, CLIENTS={"anonymous": {}})
    joined = datetime.date(2026, 1, 1)
    Customer.objects.bulk_create([Customer(name=f"c{n}", email=f"c{n}@example.com", joined=joined) for n in range(203)])
    for last in (["rows", 2, ["id", "x"]], method(2, "values_list", "x"), method(2, "values")):
        tracemalloc.start()
        nodes = [
            CUSTOMERS,
            method(0, "annotate", x=expr("Repeat", expr("Value", "x"), 999_999)),
            method(1, "order_by", "id"),
        ]
        answered = send([*nodes, last])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answered.code == "ResponseTooLarge", answered.text[:300]
        assert peak < 15_000_000


def test_long_rows_after_short_rows_are_counted(send, settings_of_server):
    """The size of the first rows does not limit the next rows."""
    settings_of_server(LIMITS={"response_bytes": 3_000_000}, CLIENTS={"anonymous": {}})
    joined = datetime.date(2026, 1, 1)
    Customer.objects.bulk_create([Customer(name=f"c{n}", email=f"c{n}@example.com", joined=joined) for n in range(300)])
    first = Customer.objects.order_by("id")[200].pk
    long = expr("Repeat", expr("Value", "x"), 999_999)
    short = expr("When", {"$q": ["AND", False, [["id__lt", first]]]}, expr("Value", ""))
    nodes = [CUSTOMERS, method(0, "annotate", x=expr("Case", short, default=long)), method(1, "order_by", "id")]
    tracemalloc.start()
    answered = send([*nodes, method(2, "values_list", "x")])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answered.code == "ResponseTooLarge", answered.text[:300]
    assert peak < 15_000_000


#: Each text is within the limit, and all texts of one row are not.
TOGETHER = {
    "columns": {f"x{number}": REPEATED for number in range(5)},
    "one text": {"x": expr("Concat", *[REPEATED] * 5)},
    "an object": {"x": expr("JSONObject", **{f"x{number}": REPEATED for number in range(5)})},
    "below other functions": {"x": expr("Length", expr("Concat", *[expr("Lower", REPEATED)] * 5))},
    "conditions": {
        f"x{number}": expr("Case", expr("When", {"$q": ["AND", False, [["id__gt", 0]]]}, REPEATED))
        for number in range(5)
    },
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_texts_of_row_count_together(send, kind, settings_of_server):
    settings_of_server(LIMITS={"response_bytes": 30_000_000}, CLIENTS={"anonymous": {}})
    aggregates = {name: expr("Max", value) for name, value in TOGETHER[kind].items()}
    for nodes in (
        [CUSTOMERS, method(0, "annotate", **TOGETHER[kind]), method(1, "values_list", *TOGETHER[kind])],
        [CUSTOMERS, method(0, "aggregate", **aggregates)],
        [CUSTOMERS, method(0, "order_by", *TOGETHER[kind].values()), method(1, "values_list", "id")],
    ):
        answered = send(nodes)
        assert answered.code == "ResponseTooLarge", answered.text[:300]
        assert answered.data_statements == []


def test_a_text_that_is_named_often_counts_each_time(send, settings_of_server):
    settings_of_server(LIMITS={"response_bytes": 30_000_000}, CLIENTS={"anonymous": {}})
    named = [CUSTOMERS, method(0, "annotate", x=REPEATED)]
    rows = [
        *named,
        method(1, "values", "x"),
        ["item", 2, {"$slice": [0, 1, None]}],
        method(0, "annotate", y=expr("Value", 1)),
    ]
    for nodes in (
        [*named, method(1, "annotate", y=expr("Concat", *[expr("F", "x")] * 5)), method(2, "values_list", "y")],
        [*named, method(1, "annotate", **{f"y{n}": expr("F", "x") for n in range(5)}), method(2, "values_list")],
        [*rows, method(4, "annotate", z=expr("Concat", *[expr("Subquery", ref(3))] * 5)), method(5, "values_list")],
    ):
        answered = send(nodes)
        assert answered.code == "ResponseTooLarge", answered.text[:300]
        assert answered.data_statements == []


def test_single_row_is_counted(send, settings_of_server):
    settings_of_server(LIMITS={"response_bytes": 1_000_000}, CLIENTS={"anonymous": {}})
    longest = expr("Max", expr("Repeat", "name", 100_000))
    answered = send([CUSTOMERS, method(0, "aggregate", x=longest), ["fold", "len", 1]])
    assert answered.code == "ResponseTooLarge"


X = expr("Value", "x")
GROWN = {
    "repeat": expr("Repeat", X, 10**9),
    "repeat in repeat": expr("Repeat", expr("Repeat", X, 10**5), 10**5),
    "lpad": expr("LPad", X, 10**9, X),
    "rpad": expr("RPad", "name", 10**9, X),
    "replace": expr("Replace", expr("Repeat", X, 10**6), X, expr("Value", "y" * 1000)),
    "replace in replace": expr("Replace", expr("Replace", expr("Value", "x" * 10**4), X, expr("Value", "x" * 10**3)),
                               X, expr("Value", "x" * 10**3)),
    "below others": expr("Lower", expr("Repeat", expr("Upper", expr("Repeat", X, 10**5)), 10**5)),
}  # fmt: skip


@pytest.mark.parametrize("way", ["annotate", "filter", "order_by", "aggregate"])
@pytest.mark.parametrize("kind", GROWN)
def test_functions_that_grow_texts_of_literals(send, kind, way):
    queries = {
        "annotate": [method(0, "annotate", x=GROWN[kind]), method(1, "values_list", "x")],
        "filter": [method(0, "annotate", x=GROWN[kind]), method(1, "filter", x="y"), method(2, "count")],
        "order_by": [method(0, "order_by", GROWN[kind]), method(1, "values_list", "id")],
        "aggregate": [method(0, "aggregate", x=expr("Max", GROWN[kind]))],
    }
    answered = send([CUSTOMERS, *queries[way]])
    assert answered.code == "ResponseTooLarge", answered.text[:300]
    assert answered.data_statements == []


#: Numbers that are large, or that may be large.
COUNTED = {
    "a product": expr("Repeat", X, expr("CombinedExpression", expr("Value", 10**5), "*", expr("Value", 10**4))),
    "a sum": expr("LPad", X, expr("CombinedExpression", expr("Value", 10**9), "+", expr("F", "id")), X),
    "a difference": expr("RPad", X, expr("CombinedExpression", expr("Value", 5), "-", expr("Value", -(10**9))), X),
    "a power": expr("Repeat", X, expr("CombinedExpression", expr("Value", 10), "^", expr("Value", 9))),
    "a quotient": expr("Repeat", X, expr("CombinedExpression", expr("Value", 10), "/", expr("Value", 1e-8))),
    "a cast": expr("Repeat", X, expr("Cast", expr("Value", 10**9), expr("IntegerField"))),
    "a cast text": expr("Repeat", X, expr("Cast", expr("Value", "1000000000"), expr("IntegerField"))),
    "a text": expr("Repeat", X, expr("Value", "1000000000")),
    "a decimal": expr("Repeat", X, expr("Value", {"$decimal": "1000000000"})),
    "the greatest": expr("LPad", X, expr("Greatest", expr("Value", 10**9), expr("Value", 1)), X),
    "a default": expr("RPad", X, expr("Coalesce", "credit", expr("Value", 10**9)), X),
    "a case": expr("Repeat", X, expr("Case", expr("When", {"$q": ["AND", False, [["id__gt", 0]]]}, 10**9))),
    "a function": expr("Repeat", X, expr("Power", expr("Value", 10), 9)),
    "a length": expr("Repeat", expr("Value", "x" * 10**4), expr("Length", expr("Repeat", X, 10**5))),
    "an aggregate": expr("Repeat", X, expr("Max", expr("Value", 10**9))),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_numbers_of_literals_are_estimated(send, kind):
    answered = send([CUSTOMERS, method(0, "annotate", x=COUNTED[kind]), method(1, "values_list", "x")])
    assert answered.code == "ResponseTooLarge", answered.text[:300]
    assert answered.data_statements == []


def test_a_subquery_is_no_number(send):
    """The value of a subquery may be a literal of the client."""
    number = expr("Subquery", ref(2))
    nodes = [CUSTOMERS, method(0, "annotate", n=expr("Value", 10**9)), method(1, "values", "n")]
    answered = send([*nodes, method(0, "annotate", x=expr("Repeat", X, number)), method(3, "values_list", "x")])
    assert answered.code == "ResponseTooLarge", answered.text[:300]
    assert answered.data_statements == []


NUMBERS = {
    "a column": expr("F", "id"),
    "a product": expr("CombinedExpression", expr("F", "id"), "*", expr("Value", 2)),
    "a cast": expr("Cast", "id", expr("IntegerField")),
    "the greatest": expr("Greatest", expr("F", "id"), expr("Value", 3)),
    "a length": expr("Length", "name"),
    "a number of rows": expr("Count", "orders"),
    "an annotation": expr("F", "known"),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_the_database_are_taken(send, number):
    repeated = [
        method(0, "annotate", known=expr("F", "id")),
        # PostgreSQL repeats by 32-bit integers only.
        method(1, "annotate", x=expr("Repeat", X, expr("Cast", NUMBERS[number], expr("IntegerField")))),
    ]
    answered = send([CUSTOMERS, *repeated, method(2, "values_list", "x", flat=True)])
    assert answered.error is None, answered.text[:300]


def test_texts_within_the_limit_grow(send):
    padded = expr("LPad", expr("Repeat", "name", 3), 40, expr("Value", "."))
    answered = send([CUSTOMERS, method(0, "annotate", x=padded), method(1, "values_list", "x", flat=True)])
    assert answered.error is None, answered.text
