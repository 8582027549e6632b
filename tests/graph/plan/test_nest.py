"""Lists of keys of a slice, which not every database nests in another query."""

from __future__ import annotations

import pytest

from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites.nest import nest_queries
from django_rpc.graph.traversal import topological


@pytest.mark.parametrize(
    ("keys", "is_nested"),
    [
        (lambda query: query.all(), True),
        (lambda query: query[:3], False),
        (lambda query: query[:3].all(), False),
        (lambda query: query[3:].select_related("x").all(), False),
    ],
)
def test_a_list_of_keys_of_a_slice_is_not_nested(orders, clients, keys, is_nested):
    listed = keys(clients.filter(tier="vip")).map(lambda row: row.pk)
    count = orders.filter(client__in=listed).count().__rpc_node__()
    (output,) = nest_queries(ExpressionGraph(topological([count]), (count,))).outputs
    assert (output is not count) == is_nested
