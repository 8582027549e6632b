"""Names and plain values in a request: an error may repeat them, because the client sent them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from django_rpc.graph.nodes import Node, own_fields
from django_rpc.graph.values import ATOMS
from django_rpc.graph.walk import iter_leaves

__all__ = ["SentValues", "words_of"]

#: Longer texts are data: an error never repeats them.
_MAX_LENGTH = 200


def words_of(text: str) -> set[str]:
    """Return the identifiers in ``text``, and the parts of each lookup path between its double underscores.

    >>> sorted(words_of("-customer__name, total"))
    ['customer', 'customer__name', 'name', 'total']
    """
    return {part for word in re.findall(r"\w+", text) for part in (word, *word.split("__")) if part}


class SentValues:
    """Names and values in ``nodes``, collected when an error needs them for the first time."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes = nodes

    @cached_property
    def _atoms(self) -> list[Any]:
        return [atom for node in self._nodes for name in own_fields(type(node)) for atom in _atoms(getattr(node, name))]

    @cached_property
    def words(self) -> frozenset[str]:
        """Identifiers in all texts of the request."""
        texts = [atom for atom in self._atoms if type(atom) is str and len(atom) <= _MAX_LENGTH]
        return frozenset().union(*map(words_of, texts))

    @cached_property
    def literals(self) -> frozenset[str]:
        """Representations of the plain values of the request; long representations are left out."""
        return frozenset(text for text in map(repr, self._atoms) if len(text) <= _MAX_LENGTH)


def _atoms(value: Any) -> Iterator[Any]:
    """Yield the plain values in an argument; skips nodes, because the request lists each node separately."""
    for leaf in iter_leaves(value):
        if type(leaf) in ATOMS:
            yield leaf
        elif isinstance(leaf, msgspec.Struct) and not isinstance(leaf, Node):
            for name in leaf.__struct_fields__:
                yield from _atoms(getattr(leaf, name))
