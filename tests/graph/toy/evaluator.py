"""The evaluator of the toy kind at the service."""

from django_rpc.server.visitors import visits
from tests.graph.toy.weighing import Weighing


@visits(Weighing)
def weigh(evaluator, node):
    return f"{evaluator.as_client(evaluator.values[node.parent]).count() * evaluator.resolve(node.factor)} {node.unit}"
