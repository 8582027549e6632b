"""`django_rpc.graph.walk`: leaves of nested containers, and copies with other leaves."""

from collections import namedtuple

import pytest

from django_rpc.graph.nodes import ModelSource, nodes_in
from django_rpc.graph.values import Condition, Expr
from django_rpc.graph.walk import DATA, iter_leaves, map_children, map_leaves, objects_in

Pair = namedtuple("Pair", "left right")
LEAF = object()
CONTAINERS = [
    [LEAF, 1],
    (LEAF, 1),
    {LEAF, 1},
    frozenset({LEAF, 1}),
    {"key": LEAF},
    {LEAF: 1},
    slice(1, LEAF),
    Pair(LEAF, 1),
    Expr("Count", (LEAF,), {"distinct": True}),
    Expr("Count", (), {"filter": LEAF}),
    Condition((("a", LEAF), Condition(())), "OR", True),
]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: type(container).__name__)
def test_map_leaves_keeps_the_type_and_replaces_the_leaf(container):
    changed = map_leaves([container], lambda leaf: "new")[0]
    assert type(changed) is type(container)
    assert LEAF not in list(iter_leaves(changed))
    assert "new" in list(iter_leaves(changed))
    assert map_leaves(changed, lambda leaf: "new") == changed


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: type(container).__name__)
def test_map_leaves_returns_a_container_without_a_changed_leaf_itself(container):
    assert map_leaves(container, lambda leaf: leaf) is container


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: type(container).__name__)
def test_objects_in_omits_plain_values(container):
    assert objects_in([container, 1, "a", None]) == [LEAF]


def test_expressions_are_leaves_of_data():
    expression = Expr("F", ("total",))
    assert map_leaves([expression, 1], lambda leaf: "leaf", DATA) == ["leaf", 1]


def test_a_subclass_of_a_container_becomes_a_plain_container():
    class Rows(list):
        pass

    assert type(map_children(Rows([1]), str)) is list
    assert list(iter_leaves(Rows([1, (2,)]))) == [1, 2]


def test_a_shared_container_is_read_once():
    shared = [LEAF]
    for _ in range(60):
        shared = [shared, shared]
    assert objects_in(shared) == [LEAF]


def test_nodes_in_finds_the_nodes_of_arguments():
    orders = ModelSource("shop.Order", "rpc")
    assert nodes_in({"pk__in": [orders, 1], "q": Condition((("a", (orders,)),))}) == [orders, orders]
