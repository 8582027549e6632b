"""Each rewrite turns the graphs of its cases into the expected graphs; the repetition of the rules ends."""

import pytest

from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Literal, Method, ModelSource
from django_rpc.graph.plan.collect import collect
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites import REWRITES, cull, rewrite
from django_rpc.graph.plan.rewrites.replace import replace
from tests.graph.plan.rewrites import CASES

RULES = {rule.__name__: rule for rule in REWRITES}
ALL = [(rule, name) for rule, cases in CASES.items() for name in cases]


def shop():
    """Return a namespace of queries; each attribute access is a new query, as in a user's code."""

    class Shop:
        def __getattr__(self, model):
            return Delayed(ModelSource(f"shop.{model}", "rpc"))

    return Shop()


def graph_of(case):
    namespace = shop()
    outputs = case.before(namespace)
    return ExpressionGraph(
        collect([*outputs, *case.unneeded(namespace)]).nodes, tuple([output.__rpc_node__() for output in outputs])
    )


def texts(nodes):
    return sorted(f"{type(node).__name__} {describe(node)}" for node in nodes)


@pytest.mark.parametrize(("rule", "name"), ALL)
def test_a_rule_makes_the_expected_graph(rule, name):
    case = CASES[rule][name]
    before = graph_of(case)
    after = RULES[rule](before)
    if case.after is None:
        assert after is before
        return
    assert after is not before
    expected = (
        RULES["merge_reads"](collect(case.after(shop()))) if rule == "merge_reads" else collect(case.after(shop()))
    )
    assert texts(cull(after).nodes) == texts(expected.nodes)
    assert [describe(node) for node in after.outputs] == [describe(node) for node in expected.outputs]


@pytest.mark.parametrize(("rule", "name"), ALL)
def test_a_rule_is_idempotent_and_keeps_its_input(rule, name):
    before = graph_of(CASES[rule][name])
    copy = texts(before.nodes)
    after = RULES[rule](before)
    assert RULES[rule](after) is after
    assert texts(before.nodes) == copy


@pytest.mark.parametrize(("rule", "name"), ALL)
def test_all_rules_reach_a_graph_that_none_of_them_changes(rule, name):
    graph = rewrite(graph_of(CASES[rule][name]))
    for other in REWRITES:
        assert other(graph) is graph


def test_every_rule_has_cases():
    assert set(CASES) == set(RULES)


# -- repetition ------------------------------------------------------------------------------------------------------


def number_to(old, new):
    def rule(graph):
        return replace(graph, lambda node: Literal(new) if getattr(node, "value", None) == old else node)

    rule.__name__ = f"{old}_to_{new}"
    return rule


def test_a_rule_runs_again_after_another_rule():
    graph = collect([Literal(1)])
    (node,) = rewrite(graph, [number_to(3, 4), number_to(2, 3), number_to(1, 2)]).outputs
    assert node.value == 4


def test_rules_in_a_cycle_are_an_error_with_their_names():
    with pytest.raises(RuntimeError, match="The rewrites 1_to_2, 2_to_1 return to an earlier graph"):
        rewrite(collect([Literal(1)]), [number_to(1, 2), number_to(2, 1)])


def test_rules_without_an_end_are_an_error_with_their_names():
    counter = iter(range(10_000))

    def grow(graph):
        return replace(graph, lambda node: Literal(next(counter)))

    def shrink(graph):
        return replace(graph, lambda node: Literal(-next(counter)))

    with pytest.raises(RuntimeError, match="The rewrites grow, shrink do not end"):
        rewrite(collect([Literal(1)]), [grow, shrink])


def test_a_graph_without_changes_is_the_same_object():
    orders = ModelSource("shop.Order", "rpc")
    graph = collect([Method(orders, "count")])
    assert rewrite(graph) is graph
