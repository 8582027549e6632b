"""Every name of the vocabulary is a class of Django, and no class accepts SQL."""

from __future__ import annotations

import pytest
from django.db import models
from django.db.models import expressions

from django_rpc.graph.nodes import KINDS
from django_rpc.graph.values import ATOMS, Condition, Expr, Reference
from django_rpc.graph.vocabulary.names import EXPRESSIONS, FIELDS, METHODS, OUTPUT_FIELDS, POSTGRES
from django_rpc.server.django_compat import NEWER_EXPRESSIONS
from django_rpc.server.evaluate.evaluation import VISITORS
from django_rpc.server.evaluate.methods import QUERY_METHODS
from django_rpc.server.query.expressions import _MAKERS, CLASSES, RESOLVERS, Resolver
from django_rpc.server.query.expressions import FIELDS as FIELD_CLASSES
from django_rpc.server.query.postgres import class_of


@pytest.fixture
def resolve():
    return Resolver({})


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_has_its_class(name):
    if name.startswith(POSTGRES):
        found = class_of(name)
        assert found.__module__.startswith("django.contrib.postgres")
        return
    found = CLASSES.get(name)
    if found is None:
        assert name in NEWER_EXPRESSIONS or name in _MAKERS
    else:
        own = found.__base__ if name in ("F", "OuterRef") else found
        assert own.__module__.startswith("django.db.models")
        assert not issubclass(found, expressions.RawSQL)


@pytest.mark.parametrize("name", ["F", "OuterRef"])
def test_a_reference_is_not_listed_without_an_end(resolve, name):
    given, django = resolve(Expr(name, ("a",))), getattr(models, name)
    with pytest.raises(TypeError, match=f"'{name}' object is not iterable"):
        list(given)
    assert not hasattr(given, "__iter__")  # Django would iterate over it, as over a list of instances
    assert (given == django("a"), django("a") == given, given == django("b")) == (True, True, False)
    assert hash(given) == hash(django("a"))


def test_every_field_has_its_class():
    assert set(FIELD_CLASSES) == set(FIELDS)
    assert all(issubclass(cls, models.Field) for cls in FIELD_CLASSES.values())
    assert all(issubclass(class_of(name), models.Field) for name in set(OUTPUT_FIELDS) - set(FIELDS))


def test_every_kind_and_method_has_its_visitor():
    assert set(VISITORS) == set(KINDS.values())
    assert {name for name, spec in METHODS.items() if "query" in spec.on} == set(QUERY_METHODS)
    assert {*KINDS.values(), Expr, Condition, Reference} < set(RESOLVERS)


@pytest.mark.parametrize("keyword", ["template", "function", "arg_joiner", "db_collation", "nope"])
@pytest.mark.parametrize(
    "name",
    [
        *("Lower", "Count", "Coalesce", "Cast", "Trunc", "Substr", "Window", "Value"),
        *(name for name in EXPRESSIONS if name.startswith(POSTGRES)),
    ],
)
def test_no_keyword_that_carries_sql(resolve, name, keyword):
    with pytest.raises((ValueError, TypeError)):
        resolve(Expr(name, ("name",), {keyword: "1); DROP TABLE x"}))


def test_a_keyword_that_a_function_does_not_name_is_no_variable_of_its_template(resolve):
    with pytest.raises(TypeError, match="no keyword 'sample'"):
        resolve(Expr("Avg", ("total",), {"sample": True}))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Expr("F", ("a",)), models.F("a")),
        (Expr("Value", (5,)), models.Value(5)),
        (Expr("Count", ("a",), {"distinct": True}), models.Count("a", distinct=True)),
        (Expr("CombinedExpression", (Expr("F", ("a",)), "+", Expr("Value", (1,)))), models.F("a") + 1),
        (Expr("OrderBy", ("a",), {"descending": True}), models.F("a").desc()),
        (Expr("lookup:gt", (Expr("F", ("a",)), 5)), models.lookups.GreaterThan(models.F("a"), 5)),
        (Condition((("a", 1), ("b", 2)), "OR"), models.Q(a=1) | models.Q(b=2)),
        (Condition((("a", 1),), "AND", True), ~models.Q(a=1)),
        (Expr("When", (Condition((("a", 1),)), 2)), models.When(models.Q(a=1), then=2)),
        (Expr("Star"), expressions.Star()),
    ],
)
def test_made_as_django_would(resolve, given, expected):
    assert resolve(given) == expected


def test_containers_are_resolved_and_atoms_are_not_touched(resolve):
    value = {"a": [Expr("F", ("x",)), (1, {"b"}), frozenset({2})]}
    assert resolve(value) == {"a": [models.F("x"), (1, {"b"}), frozenset({2})]}
    assert all(resolve(atom) is atom for atom in (None, "x", 1, 2.5))
    assert type(None) in ATOMS
    with pytest.raises(TypeError, match="cannot be an argument"):
        resolve(object())
