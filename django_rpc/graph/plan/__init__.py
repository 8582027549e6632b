"""The planner: from a graph to the messages that compute it.

>>> from django_rpc.graph.delayed.delayed import Delayed, delayed
>>> from django_rpc.graph.nodes import ModelSource
>>> orders = Delayed(ModelSource("shop.Order", "rpc"))
>>> total = delayed(sum)([orders.count(), 1])
>>> print(show(total, phase="partition"))
stage 1, service 'rpc', round 1:
  Order.objects
  Order.objects.count()
stage 2, client, round 2, after stage 1:
  sum([Order.objects.count(), 1])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_rpc.graph.plan import pipeline
from django_rpc.graph.plan.pipeline import PHASES, plan

if TYPE_CHECKING:
    import networkx

__all__ = ["PHASES", "digraph", "phases", "plan", "show"]


def phases(*outputs: Any) -> dict[str, Any]:
    """Return the result of each phase of the planner for ``outputs``, by the name of the phase.

    Raises TypeError for an output without a node.
    """
    return pipeline.phases(outputs)


def digraph(*outputs: Any, phase: str = "rewrites") -> networkx.DiGraph:
    """Return the graph of ``outputs`` after a phase of the planner.

    After ``collect`` and ``rewrites``, its nodes are the steps, with the attributes ``label``, ``effect``, ``service``,
    ``sites`` and ``output``. After ``place``, they are steps at their places, and after ``schedule`` they have the
    attribute ``round``. Their edges have the attribute ``kind``: "data", or "effect" for an edge that keeps the user's
    order of a write and another operation of the same service. After ``partition``, the nodes are the numbers of the
    stages, with the attribute ``members``.

    Raises TypeError for an output without a node, and ValueError for an unknown phase.
    """
    from django_rpc.graph.plan.printing import digraph_of  # imports networkx, which takes 0.2 s

    return digraph_of(pipeline.phases(outputs, phase)[phase])


def show(*outputs: Any, phase: str | None = None) -> str:
    """Describe the result of a phase, or of all phases, as text.

    Raises TypeError for an output without a node, and ValueError for an unknown phase.
    """
    from django_rpc.graph.plan.printing import lines_of  # imports networkx, which takes 0.2 s

    if phase is not None:
        return "\n".join(lines_of(pipeline.phases(outputs, phase)[phase]))
    results = pipeline.phases(outputs)
    return "\n".join(
        line for name in results for line in (f"{name}:", *(f"  {text}" for text in lines_of(results[name])))
    )
