"""No name among the arguments of a message may become SQL, a private attribute or a keyword of the ORM."""

from __future__ import annotations

import pytest

from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.values import Condition, Expr
from django_rpc.graph.vocabulary.names import EXPRESSIONS, FIELDS
from django_rpc.graph.vocabulary.signatures import check_condition, check_expression, check_method_arguments

QUERY = ModelSource(model="shop.Order", service="")
F = Expr("F", ("total",))
INJECTIONS = ["x y", 'a"b', "a;--", "a\tb", "a.b", "a'b", "a(b)", "a\x00b", "", "a--b", "é", "_a"]
ALIASES = [*INJECTIONS, "a__b", "1a", "a" * 64]

GOOD_CALLS = [
    ("filter", (), {"client__name__icontains": "x", "pk": 1}),
    ("filter", (Condition((("a", 1),)), Expr("Exists", (QUERY,)), ("a__b", 1), QUERY), {}),
    ("get_or_create", (), {"name__iexact": "x", "defaults": {"name": "x"}}),
    ("annotate", (Expr("Count", ("lines",)),), {"n": Expr("Count", ("*",))}),
    ("aggregate", (), {"total__sum": Expr("Sum", ("total",)), "a__b__max": Expr("Max", (Expr("F", ("a__b",)),))}),
    ("aggregate", (), {"0__c": Expr("Count", ("pk",))}),
    ("order_by", ("-a__b", "?", "pk", F), {}),
    ("latest", ("-created", "id"), {}),
    ("values", ("a__b", Expr("Lower", ("name",))), {"up": Expr("Upper", ("name",))}),
    ("values_list", ("pk",), {"flat": True}),
    ("select_related", (None,), {}),
    ("prefetch_related", (Expr("Prefetch", ("lines",), {"queryset": QUERY, "to_attr": "some"}),), {}),
    ("dates", ("created", "month"), {"order": "DESC"}),
    ("datetimes", (), {"field_name": "created", "kind": "hour"}),
    ("explain", (), {"format": "json", "analyze": True}),
    ("in_bulk", ([1, 2],), {"field_name": "slug"}),
    ("add_fields", (("a__b", "id"), True), {}),
    ("through_columns", (), {"rpc_through__order_id": ("shop.Order.products", "order_id")}),
    ("select_for_update", (), {"of": ("self", "client"), "nowait": True}),
    ("split", (" ; ",), {}),
    ("create", (), {"total": 1}),
]


@pytest.mark.parametrize("call", GOOD_CALLS, ids=lambda call: f"{call[0]}")
def test_arguments_of_django_are_accepted(call):
    check_method_arguments(*call)


def bad_calls():
    for name in ("filter", "exclude", "get", "get_or_create", "update_or_create"):
        yield from ((name, (), {path: 1}) for path in (*INJECTIONS, "_connector", "_negated", "__class__"))
    for name in ("annotate", "alias", "values", "values_list"):
        yield from ((name, (), {alias: F}) for alias in ALIASES)
    yield from (("aggregate", (), {alias: F}) for alias in (*INJECTIONS, "a" * 256) if alias != "_a")
    yield "annotate", (), {"total__sum": F}
    yield "annotate", (), {"x; --__value": Expr("Value", ("x; --",))}
    yield "annotate", (), {"x; --__sum": Expr("Sum", ("x; --",))}
    yield "annotate", (), {"a b__sum": Expr("Sum", ("a__b",))}
    for name in ("create", "update", "getset"):
        yield from ((name, (), {alias: 1}) for alias in ALIASES)
    for name in ("order_by", "add_ordering", "default_ordering", "latest", "earliest"):
        yield from ((name, (path,), {}) for path in (*INJECTIONS, "--a", "-_a", "-?"))
    for name in ("values", "values_list", "only", "defer", "distinct", "select_related", "prefetch_related"):
        yield from ((name, (path,), {}) for path in INJECTIONS)
    for value in ("a", ["a", 1], ("_connector", 1), ("a b", 1), ("a", 1, 2), 5, {"a": 1}):
        yield from ((name, (value,), {}) for name in ("filter", "exclude", "get", "annotate", "aggregate"))
    yield "get_or_create", (), {"a": 1, "defaults": {"_state": 1}}
    yield "update_or_create", (), {"a": 1, "create_defaults": {"a b": 1}}
    yield "dates", ("created", "month'); --"), {}
    yield "dates", ("created", "month"), {"order": "ASC; --"}
    yield "dates", ("crea ted", "month"), {}
    yield "datetimes", ("created",), {}
    yield "explain", (), {"ANALYZE, x": True}
    yield "explain", (), {"format": "json; --"}
    yield "explain", (), {"verbose": {"a": 1}}
    yield "in_bulk", ([1],), {"field_name": "a b"}
    yield "in_bulk", ([1], "_x"), {}
    yield "add_fields", (("a", "_x"),), {}
    yield "add_fields", ("name",), {}
    for alias in ("id", "pk", "_x", "_prefetch_related_val_x", "rpc_through__", "rpc_through___x", "x__rpc_through__x"):
        yield "through_columns", (), {alias: ("a.B.c", "d")}
    yield "through_columns", (), {"rpc_through__x": 'a"."b'}
    yield "through_columns", (), {"rpc_through__x": ("a.B.c", 'd"; --')}
    yield "select_for_update", (), {"of": ("self; --",)}


@pytest.mark.parametrize("call", list(bad_calls()), ids=repr)
def test_a_name_that_may_not_pass_is_refused(call):
    with pytest.raises(ValueError, match=r"\w"):
        check_method_arguments(*call)


GOOD_EXPRESSIONS = [
    F,
    Expr("OuterRef", (Expr("OuterRef", ("pk",)),)),
    Expr("Value", ("any; text --",)),
    Expr("CombinedExpression", (F, "%%", Expr("Value", (2,)))),
    Expr("Extract", ("created", "iso_year")),
    Expr("Trunc", ("created", "month"), {"output_field": Expr("DateField")}),
    Expr("Cast", ("total", Expr("DecimalField", (), {"max_digits": 9, "decimal_places": 2}))),
    Expr("JSONObject", (), {"any; key": F, "$x": F}),
    Expr("Window", (Expr("RowNumber"),), {"partition_by": ["a", F], "order_by": "-a"}),
    Expr("RowRange", (), {"start": -1, "end": None, "exclusion": "TIES"}),
    Expr("KeyTransform", ("any key", "data")),
    Expr("lookup:icontains", (F, "any; text")),
    Expr("FilteredRelation", ("lines",), {"condition": Condition((("lines__price", 1),))}),
    Expr("Subquery", (QUERY,)),
    Expr("Count", ("*",), {"distinct": True}),
]


@pytest.mark.parametrize("expr", GOOD_EXPRESSIONS, ids=lambda expr: expr.name)
def test_expressions_that_pass(expr):
    check_expression(expr)


BAD_EXPRESSIONS = [
    Expr("Func", (), {"template": "x"}),
    Expr("RawSQL", ("x",)),
    Expr("django.db.models.F", ("x",)),
    Expr("__import__", ("os",)),
    Expr("F", ("a b",)),
    Expr("F", ("_state",)),
    Expr("F", (1,)),
    Expr("F", ()),
    Expr("F", (), {"name": "x y"}),
    Expr("Lower", ("name",), {"template": "x"}),
    Expr("Lower", ("name",), {"function": "x"}),
    Expr("Lower", ("name); --",)),
    Expr("Sum", (), {"expression": "a b"}),
    Expr("CombinedExpression", (F, "+ 1; --", F)),
    Expr("CombinedExpression", (F, None, F)),
    Expr("CombinedExpression", (F,), {"connector": "||"}),
    Expr("Extract", ("created", "year' FROM x)) --")),
    Expr("Extract", ("created",)),
    Expr("ExtractYear", ("created",), {"lookup_name": "x'"}),
    Expr("Trunc", ("created",), {"kind": "year', x"}),
    Expr("Trunc", ("cre ated", "year")),
    Expr("Cast", ("x",), {"output_field": "text; --"}),
    Expr("Cast", ("x",), {"output_field": Expr("Value", (1,))}),
    Expr("CharField", (), {"db_collation": 'x" --'}),
    Expr("CharField", (), {"max_length": "1); --"}),
    Expr("CharField", ("x",)),
    Expr("Subquery", ("SELECT 1",)),
    Expr("Exists", ()),
    Expr("RowRange", ("1",)),
    Expr("ValueRange", (), {"end": "x"}),
    Expr("RowRange", (), {"exclusion": "TIES; --"}),
    Expr("Window", (F,), {"order_by": ["a b"]}),
    Expr("Prefetch", ("lines",), {"to_attr": "_state"}),
    Expr("Prefetch", ("_lines",)),
    Expr("FilteredRelation", ("lines",), {"condition": "1=1"}),
    Expr("FilteredRelation", ("li nes",)),
    Expr("KT", ()),
    Expr("lookup:unknown", (F, 1)),
]


@pytest.mark.parametrize("expr", BAD_EXPRESSIONS, ids=repr)
def test_expressions_that_are_refused(expr):
    with pytest.raises(ValueError, match=r"\w"):
        check_expression(expr)


@pytest.mark.parametrize("keyword", ["template", "function", "arg_joiner", "db_collation", "params", "sql", "using"])
def test_no_expression_takes_sql(keyword):
    for name in {*EXPRESSIONS, *FIELDS} - {"JSONObject"}:
        with pytest.raises(ValueError, match=r"\w"):
            check_expression(Expr(name, (), {keyword: "x; --"}))


@pytest.mark.parametrize(
    "condition",
    [
        Condition((), "OR 1=1"),
        Condition((), ""),
        Condition((), "and"),
        Condition((("_connector", "OR"),)),
        Condition((("a b", 1),)),
        Condition(((1, 1),)),
        Condition((("a",),)),
        Condition((["a", 1],)),
        Condition((QUERY,)),
        Condition((), "AND", 1),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_conditions_that_are_refused(condition):
    with pytest.raises(ValueError, match=r"\w"):
        check_condition(condition)
