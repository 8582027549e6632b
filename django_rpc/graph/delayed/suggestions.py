"""Error messages for attributes and keys that a Delayed does not have, with suggestions for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Attr, Node
from django_rpc.graph.vocabulary import names as vocabulary

__all__ = [
    "COMPLEX_FILTER",
    "INSTEAD",
    "QUERY_METHODS",
    "VALUE_NAMES",
    "check_query_key",
    "check_value_method",
    "no_method",
]

#: Operations that Django applies to the Query of a queryset; users have public methods and operators for them.
_INTERNAL = frozenset(
    "and_ or_ xor sticky filter_reuse clear_ordering add_ordering default_ordering clear_limits clear_select_clause "
    "add_fields through_columns".split()
)
#: A QuerySet method that equals filter() with one argument, possibly a dict; it is recorded as a filter().
COMPLEX_FILTER = "complex_filter"
#: The query methods that a user may call.
QUERY_METHODS = frozenset(name for name, spec in vocabulary.METHODS.items() if "query" in spec.on) - _INTERNAL
QUERY_METHODS |= {COMPLEX_FILTER}
#: Methods of QuerySet that a Delayed does not have, and the code to write instead.
INSTEAD = {
    "iterator": "for row in d.compute(): ... .",
    "using": "Model.objects.using(alias).delayed().",
    "raw": "a method that the service registered: no SQL crosses the wire.",
    "extra": ".annotate() and query expressions: no SQL crosses the wire.",
    "bulk_create": "Model.objects.bulk_create(objects), or .create() for each object in one django_rpc.compute().",
    "resolve_expression": "Subquery(queryset).",
}
#: The methods of instances and plain values.
VALUE_NAMES = frozenset(name for name, spec in vocabulary.METHODS.items() if spec.on & {"value", "instance"})


def check_query_key(node: Node, key: Any) -> None:
    """Refuse invalid keys of a queryset like Django does, but at the user's line."""
    parts = (key.start, key.stop) if isinstance(key, slice) else (key,)
    if isinstance(key, slice) and key.step is not None:
        raise TypeError(f"A query takes no step. Write {describe(node, 80)}[...].compute()[::{key.step}].")
    for part in parts:
        if isinstance(part, Node) or (part is None and isinstance(key, slice)):
            continue
        if not isinstance(part, int) or isinstance(part, bool):
            raise TypeError(
                f"A query is indexed by whole numbers and slices, not by {part!r}. To find rows, .filter()."
            )
        if part < 0:
            raise ValueError("Negative indexing is not supported: use .reverse() or .last().")


def no_method(node: Node, name: str, methods: Iterable[str]) -> str:
    """Return the error message for an attribute that a query does not have, with similar names."""
    public = sorted(QUERY_METHODS | set(methods))
    near = difflib.get_close_matches(name, public, n=3)
    text = f"{describe(node, 80)} is a query, which has no {name!r}."
    instead = INSTEAD.get(name, INSTEAD.get(name.removeprefix("a")))
    if instead is not None:
        return f"{text} Write {instead}"
    if name[:1] == "a" and name[1:] in QUERY_METHODS:
        return f"{text} Write: await d.{name[1:]}(...)"
    if name in vocabulary.METHODS:
        text += f" An instance has: .get(...).{name}()"
    elif near:
        text += f" Did you mean {' or '.join(near)}?"
    else:
        text += f" For a field of its rows, .values({name!r}) or .first().{name}."
    return f"{text} A method that the server registered is called by .call({name!r}, ...)."


def check_value_method(node: Attr) -> None:
    """Raise AttributeError for a call of an attribute that is not a method of the vocabulary."""
    if node.name in vocabulary.METHODS or node.name == COMPLEX_FILTER:
        return
    near = difflib.get_close_matches(node.name, sorted(vocabulary.METHODS.keys() - _INTERNAL), n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise AttributeError(
        f".{node.name}() is not a method that can be sent to a service.{hint} "
        f"A method that the server registered is called by .call({node.name!r}, ...).",
        name=node.name,
    )
