"""What most rewrites do: put another node in the place of each that a rule has a better one for."""

from __future__ import annotations

from collections.abc import Callable

from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes.base import Node
from django_rpc.graph.plan.rewrites.draft import Draft

__all__ = ["replace"]


def replace(draft: Draft, rule: Callable[[Node], Node]) -> Draft:
    """The draft after ``rule``, which returns a node that means the same: its argument, or a better one.

    ``rule`` sees each node after its inputs have been replaced.  What it returns may be one of these inputs, or new
    with the order of the node that it replaces; nodes that are new beside it stand before that one.
    """
    replaced: dict[Node, Node] = {}
    nodes: list[Node] = []
    seen: set[Node] = set()
    for node in draft.nodes:
        own = substitute(node, replaced) if replaced else node
        better = rule(own)
        for one in (*better.inputs(), better) if better is not own else (own,):
            if one not in seen:
                seen.add(one)
                nodes.append(one)
        if better is not node:
            replaced[node] = better
    if not replaced:
        return draft
    return Draft(tuple(nodes), tuple([replaced.get(output, output) for output in draft.outputs]))
