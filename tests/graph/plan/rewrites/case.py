"""One pair of graphs."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A graph before and after a rewrite.

    ``before`` and ``after`` are functions of a namespace: each of its attributes is a Delayed of all rows of a model.
    They return a list of outputs. ``after`` is None for a graph that the rule does not change. ``unneeded`` returns
    outputs of the graph before the rewrite that are no longer outputs when the rule runs.
    """

    before: Callable[[Any], list[Any]]
    after: Callable[[Any], list[Any]] | None = None
    unneeded: Callable[[Any], list[Any]] = lambda shop: []
