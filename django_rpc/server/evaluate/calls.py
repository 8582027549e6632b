"""Visitors of ``Call``, ``Function`` and ``Shipped``: registered methods and functions, and functions of clients.

All of them are code of the service, or code of a client that is trusted as much as the service's code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import Field, FilteredRelation, Model, Prefetch, QuerySet

from django_rpc.graph.nodes import Call, Function, ModelSource, ServiceCall, Shipped
from django_rpc.server import pickled_functions as shipped
from django_rpc.server.django_compat import clone, prefetch_lookups, selects_columns, set_prefetch_lookups
from django_rpc.server.evaluate import prefetch
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.server.policy.references import replaced
from django_rpc.server.query.client_query import is_client, trusted
from django_rpc.server.query.loaded_relations import Loaded, forget_related, loaded_by
from django_rpc.server.registry.model_rpc import ModelRpc
from django_rpc.server.visitors import visits

__all__ = ["registered", "visit", "visit_function", "visit_shipped"]


@visits(Call)
def visit(ev: Evaluator, node: Call) -> Any:
    return _returned(ev, _call(ev, node))


def _call(ev: Evaluator, node: Call) -> Any:
    parent = ev.values[node.parent]
    args, kwargs = _own(ev, (ev.resolve.args(node.args), ev.resolve.kwargs(node.kwargs)))
    if isinstance(parent, Relation):
        parent = parent.queryset(ev)
    if isinstance(parent, QuerySet):
        return _on_query(ev, parent, node, bare=isinstance(node.parent, ModelSource))(*args, **kwargs)
    if isinstance(parent, Model):
        rpc = registered(ev, type(parent), node.name)
        rpc_method = _of_class(rpc, node.name)
        forget_related(parent)
        if rpc_method is not None:
            return rpc_method(ev.policy.request, parent, *args, **kwargs)
        method = getattr(parent, node.name, None)
        if callable(method):
            return method(*args, **kwargs)
    raise _unknown(type(parent).__name__, node.name)


@visits(Function)
def visit_function(ev: Evaluator, node: Function) -> Any:
    function = ev.policy.function(node.name)
    if node.reads_only and not function.reads_only:
        raise PermissionDenied(f"{node.name}() may write at this service: call it without reads_only=True.")
    return _called(ev, node, lambda: function.call, *([ev.policy.request] if function.with_request else []))


@visits(Shipped)
def visit_shipped(ev: Evaluator, node: Shipped) -> Any:
    shipped.check(ev.policy)
    return _called(ev, node, lambda: ev.once(node, lambda: shipped.load(ev.policy, node)))


def _called(ev: Evaluator, node: ServiceCall, function: Callable[[], Callable[..., Any]], *first: Any) -> Any:
    args, kwargs = _own(ev, (ev.resolve.args(node.args), ev.resolve.kwargs(node.kwargs)))
    ev.before_own_code()
    return _returned(ev, function()(*first, *args, **kwargs))


def _returned(ev: Evaluator, value: Any) -> Any:
    """Return the result of the service's code; a query loads only related rows that the client may see.

    The code decides which rows a query returns. Related rows are loaded by the client's queries. Related rows that
    the code loads by a different query (``Prefetch``) are left out.
    """
    if not isinstance(value, QuerySet) or is_client(value) or selects_columns(value):
        return value
    plain = clone(value)
    set_prefetch_lookups(plain, ())
    loaded = loaded_by(plain)
    names = [*_paths(ev, value.model, loaded), *(p for p in prefetch_lookups(value) if isinstance(p, str))]
    visible = [name for name in dict.fromkeys(names) if _may_load(ev, value.model, name)]
    if not names and not prefetch_lookups(value):
        return value
    plain.query.select_related = False
    return prefetch.prefetch_related(ev, plain, visible, {}) if visible and not plain.query.combinator else plain


def _paths(ev: Evaluator, model: type[Model], loaded: Loaded) -> list[str]:
    """Return the paths of relations that a query joins, without those that lead through a hidden relation."""
    paths = []
    for name, deeper in loaded.relations.items():
        if _may_load(ev, model, name):
            related = relation_named(ev.policy, model, name).related_model
            paths += [name, *(f"{name}__{path}" for path in _paths(ev, related, deeper))]
        else:
            paths.append(name)
    return paths


def _may_load(ev: Evaluator, model: type[Model], path: str) -> bool:
    try:
        for name in path.split("__"):
            model = relation_named(ev.policy, model, name).related_model
    except (FieldDoesNotExist, LookupError):
        return False
    return True


def _unknown(kind: str, name: str) -> AttributeError:
    return AttributeError(
        f"'{kind}' has no method '{name}' that clients may call. `methods` of its ModelRpc lists those methods."
    )


def registered(ev: Evaluator, model: type[Model], name: str) -> ModelRpc:
    """Return the ModelRpc that registers a method by this name; raises an error if this client may not call it."""
    exposure = ev.policy.exposure(model)
    if exposure is None or name not in exposure.methods:
        raise _unknown(model.__name__, name)
    if not ev.policy.can(model, name):
        raise PermissionDenied(f"This client may not call {name} of {exposure.label}.")
    ev.before_own_code()
    return exposure.rpc


def _of_class(rpc: ModelRpc, name: str) -> Any:
    """Return the method of the ModelRpc; its first arguments are the request, and the queryset or instance."""
    return getattr(rpc, name, None) if callable(getattr(type(rpc), name, None)) else None


def _on_query(ev: Evaluator, queryset: QuerySet, node: Call, bare: bool) -> Callable[..., Any]:
    rpc = registered(ev, queryset.model, node.name)
    rpc_method = _of_class(rpc, node.name)
    if rpc_method is not None:
        return lambda *args, **kwargs: rpc_method(ev.policy.request, _rows(ev, queryset, bare), *args, **kwargs)
    manager = queryset.model._default_manager
    if bare and ev.policy.rows(queryset.model) is None and callable(getattr(manager, node.name, None)):
        return getattr(manager, node.name)
    method = getattr(_rows(ev, queryset, bare), node.name, None)
    if callable(method):
        return method
    if bare and callable(getattr(manager, node.name, None)):
        # A method of the manager starts with all rows, also if the client may see only some: it was registered so.
        return getattr(manager, node.name)
    raise _unknown(queryset.model.__name__, node.name)


def _rows(ev: Evaluator, queryset: QuerySet, bare: bool) -> QuerySet:
    """Return the client's query for the service's code, after the check of the client's part of it."""
    if not bare:
        return trusted(queryset)
    rows = ev.policy.rows(queryset.model)
    return rows.all() if rows is not None else queryset.model._default_manager.get_queryset()


def _own(ev: Evaluator, value: Any) -> Any:
    """Return an argument as the server's own code expects it: rows are loaded, queries are checked.

    Raises TypeError for an expression or condition: the service's code could use it in an unchecked query, in
    the place of a plain value.
    """
    return replaced(ev.references.rows(value), lambda item: _trusted(ev, item))


def _trusted(ev: Evaluator, item: Any) -> Any:
    if isinstance(item, Relation):
        item = item.queryset(ev)
    if isinstance(item, QuerySet):
        return trusted(item)
    if isinstance(item, Model):
        return forget_related(item)
    if hasattr(item, "resolve_expression") or isinstance(item, Field | FilteredRelation | Prefetch):
        raise TypeError("Methods and functions of the service take values, rows and queries, and no expressions.")
    return item
