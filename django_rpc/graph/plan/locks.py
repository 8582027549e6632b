"""Row locks of a plan: ``select_for_update()`` locks rows until the transaction of its message ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Method, Node
from django_rpc.graph.plan.stages import Plan, Stage

__all__ = ["UnheldLock", "unheld_lock"]

_LOCK = "select_for_update"

#: Methods for which Django leaves the lock out of the statement.
_WITHOUT_LOCK = {"aggregate", "count"}

_ADVICE = (
    "Write with an expression, update(n=F('n') + 1), or read and write in one message: "
    "a Delayed of the row (docs/howto/transactions.md)."
)


class UnheldLock(NamedTuple):
    """A ``select_for_update()`` with a lock that ends before the write."""

    node: Node
    service: str
    reason: str


def unheld_lock(plan: Plan) -> UnheldLock | None:
    """Return the first lock of ``plan`` that ends before its write; None if there is none.

    >>> from django_rpc.graph.nodes import ModelSource
    >>> from django_rpc.graph.plan.pipeline import plan
    >>> locked = Method(Method(ModelSource("shop.Order", "rpc"), "select_for_update"), "get", (), {"pk": 1})
    >>> unheld_lock(plan([locked])).reason.split(":")[0]
    'select_for_update() locks rows until its message is answered, and this message writes nothing'
    >>> unheld_lock(plan([locked, Method(locked, "save")])) is None
    True
    """
    for number, stage in enumerate(plan.stages):
        for node in stage.nodes:
            if stage.service is None or not (node.method_name == _LOCK and _locks(stage, node)):
                continue
            write = _later_write(plan, number, node)
            if write is not None:
                reason = f"{describe(write, 100)} needs values of these rows in a later message."
            elif not _writes_after(stage, node):
                reason = "this message writes nothing: it would protect nothing."
            else:
                continue
            begin = "select_for_update() locks rows until its message is answered"
            return UnheldLock(node, stage.service, f"{begin}, and {reason} {_ADVICE}")
    return None


def _locks(stage: Stage, lock: Node) -> bool:
    """Return False where only methods that ignore a lock evaluate the rows; Django raises no error there, either."""
    rows = {lock}
    for node in stage.nodes:
        if node.is_query and getattr(node, "parent", None) in rows:
            rows.add(node)
    readers = [node for node in stage.nodes if node not in rows and not rows.isdisjoint(node.inputs())]
    if not readers or any(stage.nodes[output] in rows for output in stage.outputs):
        return True
    return not all(
        type(node) is Method and node.name in _WITHOUT_LOCK and rows.isdisjoint(set(node.inputs()) - {node.parent})
        for node in readers
    )


def _writes_after(stage: Stage, lock: Node) -> bool:
    """Return True for a stage that writes; ``get_or_create()`` of the locked rows changes none of them."""
    locked = set(_dependent(stage, {lock}))
    return any(node.writes and not (node in locked and node.method_name == "get_or_create") for node in stage.nodes)


def _later_write(plan: Plan, number: int, lock: Node) -> Node | None:
    """Return a write of another stage that needs a value read by stage ``number`` with the lock."""
    locked = set(_dependent(plan.stages[number], {lock}))
    carried: set[Node] = set()
    for later, stage in enumerate(plan.stages):
        if later == number:
            continue
        carried.update(value.node for value in stage.inputs if value.stage == number and value.node in locked)
        dependent = list(_dependent(stage, carried))
        carried.update(dependent)
        for node in dependent:
            if node.writes:
                return node
    return None


def _dependent(stage: Stage, sources: Iterable[Node]) -> Iterator[Node]:
    """Yield the nodes of a stage that need one of ``sources``; the nodes are in topological order."""
    dependent = set(sources)
    for node in stage.nodes:
        if node not in dependent and any(source in dependent for source in node.inputs()):
            dependent.add(node)
            yield node
