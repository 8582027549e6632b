"""Whether a read could see what was collected and not sent: by the models that it reads, and those that were written.

What a service does besides (signals, an overridden ``save()``, computed fields) nobody here can know.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from django_rpc.graph.nodes import Attr, Call, Insert, ModelSource, Node, Save, ServiceCall, own_fields
from django_rpc.graph.traversal import topological
from django_rpc.graph.walk import iter_leaves
from django_rpc.models.options import mirror_for, options_of

__all__ = ["Reach", "dependents"]

_WORD = re.compile(r"[A-Za-z0-9_+]+")


class Reach:
    """What the operations of one block write (`django_rpc.client.unit_of_work.Sight`)."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._written: set[str] = set()
        self._anything = False

    def note(self, node: Node) -> None:
        """``node`` was collected."""
        for one in topological([node]):
            if one.writes:
                self._note(one)

    def _note(self, node: Node) -> None:
        if isinstance(node, Call | ServiceCall):
            self._anything = True
            return
        labels, names = _target(node)
        models = _reached(self.using, labels, names)
        if getattr(node, "name", "") == "delete":
            models |= dependents(models)
        self._written |= labels | {_label(model) for model in models}

    def could_see(self, nodes: Sequence[Node]) -> bool:
        """Whether the value of ``nodes`` could be another one if the operations had been done."""
        if any(isinstance(node, Call | ServiceCall) for node in nodes):
            return True
        labels = {node.model.lower() for node in nodes if isinstance(node, ModelSource)}
        if labels and self._anything:
            return True
        words = {word for node in nodes for word in _words(node)}
        if any("+" in word for word in words):  # a relation that has no name to follow
            return True
        seen = labels | {_label(model) for model in _reached(self.using, labels, words)}
        return not seen.isdisjoint(self._written)


def _target(node: Node) -> tuple[set[str], set[str]]:
    """The model that an operation writes to, by its label, and the names of the relations that lead there."""
    names: set[str] = set()
    start: Any = node
    while not isinstance(start, ModelSource | Save | Insert):
        if isinstance(start, Attr):
            names.add(start.name)
        start = getattr(start, "parent", None)
        if start is None:
            return set(), names
    return {start.model.lower()}, names


def _words(value: Any) -> Iterator[str]:
    """All names that occur in the arguments of a node, at any depth: parts of lookup paths, attributes."""
    for leaf in iter_leaves(value):
        if isinstance(leaf, str):
            for text in _WORD.findall(leaf):
                yield text  # the whole, as a relation's name may hold "__" where it is hidden
                yield from text.split("__")
        elif isinstance(leaf, msgspec.Struct) and not isinstance(leaf, ModelSource):
            names = own_fields(type(leaf)) if isinstance(leaf, Node) else leaf.__struct_fields__
            for part in [getattr(leaf, name) for name in names]:
                if not isinstance(part, Node):
                    yield from _words(part)


def _reached(using: str, labels: Iterable[str], names: set[str]) -> set[Any]:
    """The mirrors of ``labels`` with their parents, and all that relations of these ``names`` lead to from there."""
    stack = [mirror for label in labels if (mirror := mirror_for(using, label)) is not None]
    found: set[Any] = set()
    while stack:
        model = stack.pop()._meta.concrete_model
        if model in found:
            continue
        found.add(model)
        stack += model._meta.get_parent_list()
        stack += [other for name, others in _relations(model).items() if name in names for other in others]
    return found


@functools.cache
def _relations(model: Any) -> dict[str, tuple[Any, ...]]:
    """The mirrors that each relation of ``model`` leads to, by all of its names; of a many-to-many, also its rows."""
    found: dict[str, tuple[Any, ...]] = {}
    for field in model._meta.get_fields(include_hidden=True):
        if not field.is_relation or not isinstance(field.related_model, type):
            continue
        through = getattr(field, "through", None) or getattr(field.remote_field, "through", None)
        models = tuple(one for one in (field.related_model, through) if one is not None and options_of(one) is not None)
        names = {field.name, getattr(field, "attname", None)}
        if hasattr(field, "get_accessor_name"):
            names.add(field.get_accessor_name())
        for name in filter(None, names):
            found[name] = found.get(name, ()) + models
    return found


def dependents(models: set[Any]) -> set[Any]:
    """What may go, or lose its foreign key, with rows of ``models``."""
    stack, found = list(models), set()
    while stack:
        model = stack.pop()
        for related in model._meta.related_objects:
            for other in (related.related_model, getattr(related, "through", None)):
                if other is not None and other not in found and options_of(other) is not None:
                    found.add(other)
                    stack.append(other)
        for many in model._meta.many_to_many:
            if options_of(many.remote_field.through) is not None:
                found.add(many.remote_field.through)
    return found


def _label(model: Any) -> str:
    options = options_of(model)
    return "" if options is None else options.label.lower()
