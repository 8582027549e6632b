"""Visitor of ``Method``: it selects the implementation of a method by the kind of the value that it is called on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Method, Node
from django_rpc.graph.vocabulary.names import METHODS
from django_rpc.graph.vocabulary.signatures import check_method_arguments
from django_rpc.server.evaluate import instances, queries, values, writes
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import RELATION_METHODS, Relation, is_all
from django_rpc.server.policy.references import holds_instance
from django_rpc.server.visitors import visits

__all__ = ["QUERY_METHODS", "visit"]

#: All methods of a query.
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
    """Check a name that is the value of another node with the same rules as a name in the message."""
    for argument, value in zip(node.args, args, strict=True):
        if isinstance(argument, Node) and isinstance(value, str | tuple):
            check_method_arguments(node.name, (value,), {})


#: Methods of a query with instances as values of keywords, for comparisons with relations or for writes.
_BY_KEYWORD = frozenset("filter exclude get create get_or_create update_or_create update getset".split())
#: Methods with instances as positional arguments, too.
_ANYWHERE = frozenset({"contains", "bulk_update", "get_or_create", "update_or_create"})


def _check_instances(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raise TypeError for an instance that a method cannot use: the text of the instance would be part of the SQL."""
    if name in _ANYWHERE:
        return
    if holds_instance(args) or (name not in _BY_KEYWORD and holds_instance(kwargs)):
        raise TypeError(f"{name}() takes no instance of a model here.")


def _on_query(ev: Evaluator, queryset: QuerySet, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    _check_instances(name, args, kwargs)
    return QUERY_METHODS[name](ev, queryset, args, kwargs)


@visits(Method)
def visit(ev: Evaluator, node: Method) -> Any:
    parent = ev.values[node.parent]
    name = node.name
    args, kwargs = ev.resolve.args(node.args), ev.resolve.kwargs(node.kwargs)
    check_references(node, args)
    if isinstance(parent, QuerySet):
        if name in QUERY_METHODS:
            return _on_query(ev, ev.as_client(parent), name, args, kwargs)
    elif isinstance(parent, Relation):
        if name in RELATION_METHODS:
            return RELATION_METHODS[name](ev, parent, args, kwargs)
        if is_all(node):
            return parent.queryset(ev)
        if "relation" in METHODS[name].on:
            return _on_query(ev, parent.queryset(ev), name, args, kwargs)
    elif isinstance(parent, Model):
        if name in instances.METHODS:
            return instances.METHODS[name](ev, parent, args, kwargs)
    elif "value" in METHODS[name].on:
        return values.call(ev, parent, name, args, kwargs)
    raise AttributeError(f"'{type(parent).__name__}' object has no method '{name}'")
