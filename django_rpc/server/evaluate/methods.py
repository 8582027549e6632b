"""The visitor of ``Method``: what a method of the vocabulary means depends on the kind of value it is called on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet

from django_rpc.graph.arguments import check_method_arguments
from django_rpc.graph.node import Method, Node
from django_rpc.graph.vocabulary import METHODS
from django_rpc.server.evaluate import instances, queries, values, writes
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import RELATION_METHODS, Relation, is_all

__all__ = ["QUERY_METHODS", "visit"]

#: Everything that can be called on a query.
QUERY_METHODS: dict[str, Callable[[Evaluator, QuerySet, list[Any], dict[str, Any]], Any]] = {
    **queries.METHODS,
    **writes.METHODS,
}

_missing = {name for name, spec in METHODS.items() if "query" in spec.on} ^ QUERY_METHODS.keys()
_missing |= {name for name, spec in METHODS.items() if "instance" in spec.on} ^ instances.METHODS.keys()
_missing |= (
    {name for name, spec in METHODS.items() if "relation" in spec.on} - QUERY_METHODS.keys() - set(RELATION_METHODS)
)
if _missing:
    raise ImportError(f"The server and graph.vocabulary differ in the methods {', '.join(sorted(_missing))}.")


def check_references(node: Method, args: list[Any]) -> None:
    """Check a name that came by a reference as the decoder checks one that stands in the message itself."""
    for given, value in zip(node.args, args, strict=True):
        if isinstance(given, Node) and isinstance(value, str | tuple):
            check_method_arguments(node.name, (value,), {})


def visit(ev: Evaluator, node: Method) -> Any:
    parent = ev.values[node.parent]
    name = node.name
    args, kwargs = ev.resolve.args(node.args), ev.resolve.kwargs(node.kwargs)
    check_references(node, args)
    if isinstance(parent, QuerySet):
        if name in QUERY_METHODS:
            return QUERY_METHODS[name](ev, ev.as_client(parent), args, kwargs)
    elif isinstance(parent, Relation):
        if name in RELATION_METHODS:
            return RELATION_METHODS[name](ev, parent, args, kwargs)
        if is_all(node):
            return parent.queryset(ev)
        if "relation" in METHODS[name].on:
            return QUERY_METHODS[name](ev, parent.queryset(ev), args, kwargs)
    elif isinstance(parent, Model):
        if name in instances.METHODS:
            return instances.METHODS[name](ev, ev.real(parent), args, kwargs)
    elif "value" in METHODS[name].on:
        return values.call(ev, parent, name, args, kwargs)
    raise AttributeError(f"'{type(parent).__name__}' object has no method '{name}'")
