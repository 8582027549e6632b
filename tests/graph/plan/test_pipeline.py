"""The phases of the planner, separately."""

import subprocess
import sys

import networkx
import pytest

from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.plan import PHASES, digraph, phases, plan, show


@pytest.fixture
def orders():
    return Delayed(ModelSource("shop.Order", "rpc"))


@pytest.fixture
def products():
    return Delayed(ModelSource("stock.Product", "stock"))


def labels(graph, kind):
    label = graph.nodes(data="label")
    return sorted((label[start], label[end]) for start, end, edge in graph.edges(data="kind") if edge == kind)


def test_effect_edges_keep_the_order_of_writes(orders, products):
    before = orders.count()
    stock = products.count()
    write = orders.create(number="A-1")
    second = orders.create(number="A-2")
    after = orders.exists()
    graph = digraph(after, second, write, stock, before)
    assert labels(graph, "effect") == [
        (".count()", ".create(number='A-1')"),
        (".create(number='A-1')", ".create(number='A-2')"),
        (".create(number='A-2')", ".exists()"),
    ]
    assert networkx.is_directed_acyclic_graph(graph)


def test_an_effect_edge_delays_a_read_that_needs_no_value_of_the_write(orders, products):
    write = orders.create(number=products.filter(sku=orders.first().sku).first().name)
    count = orders.count()
    placed = phases(count, write)["place"]
    schedule = next(phase for phase in PHASES if phase.name == "schedule")

    def rounds():
        by_node = {place.node: number for place, number in schedule.run(placed).rounds.items()}
        return by_node[write.__rpc_node__()], by_node[count.__rpc_node__()]

    assert rounds() == (5, 5)
    edges = placed.digraph.edges(data="kind")
    placed.digraph.remove_edges_from([(start, end) for start, end, kind in edges if kind == "effect"])
    assert rounds() == (5, 1)


def test_single_service_plan_equals_all_phases(orders):
    outputs = [orders.create(total=orders.count()), orders.filter(a=1), orders.count(), orders.count()]
    short, complete = plan(outputs), phases(*outputs)["route"]
    (stage,) = short.stages
    assert [stage[:2] for stage in short.stages] == [stage[:2] for stage in complete.stages]
    assert stage.nodes == complete.stages[0].nodes
    values = [stage.nodes[stage.outputs[place]] for _, place in short.outputs]
    assert values == [complete.stages[0].nodes[complete.stages[0].outputs[place]] for _, place in complete.outputs]


def test_single_service_needs_no_networkx():
    code = (
        "import sys; from django_rpc.graph.plan import plan;"
        "from django_rpc.graph.nodes import Method, ModelSource;"
        "plan([Method(ModelSource('shop.Order', 'rpc'), 'count')]); print('networkx' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "False\n"


def test_each_phase_is_printed_and_is_a_graph(orders, products):
    total = delayed(sum)([orders.count(), products.count()])
    for phase in PHASES[:-1]:
        assert isinstance(digraph(total, phase=phase.name), networkx.DiGraph)
        assert "Order.objects.count()" in show(total, phase=phase.name)
    text = show(total)
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [f"{phase.name}:" for phase in PHASES]
    assert "  stage 3, client, round 2, after stage 1, 2:" in text.splitlines()


def test_the_graph_of_stages(orders, products):
    stages = digraph(orders.filter(name__in=products.values_list("name", flat=True)).count(), phase="partition")
    assert list(stages.edges) == [(0, 1)]
    assert [members[0].place for _, members in stages.nodes(data="members")] == ["stock", "rpc"]


def test_errors_of_wrong_phases(orders):
    with pytest.raises(ValueError, match="'plan' is not a phase of the planner"):
        show(orders, phase="plan")
    with pytest.raises(TypeError, match="returns a plan"):
        digraph(orders, phase="route")
