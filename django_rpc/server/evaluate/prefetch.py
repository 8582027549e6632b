"""``prefetch_related`` with a client's query for each level, so that its rows and columns are checked."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import NotSupportedError
from django.db.models import Model, Prefetch, QuerySet

from django_rpc.graph.values import Expr
from django_rpc.server.django_compat import clone, prefetch_lookups
from django_rpc.server.evaluate.evaluator import Evaluator, check_free
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.server.query.loaded_relations import PrefetchLevel

__all__ = ["make", "prefetch_related"]


def make(ev: Evaluator, expr: Expr) -> Prefetch:
    """Return Django's ``Prefetch`` for the arguments of the client."""
    arguments = dict(zip(("lookup", "queryset", "to_attr"), expr.args, strict=False)) | expr.kwargs
    queryset = ev.resolve(arguments.get("queryset"))
    if queryset is not None:
        if not isinstance(queryset, QuerySet):
            raise TypeError(f"Prefetch takes a query; it was given {type(queryset).__name__}.")
        queryset = ev.as_client(queryset)
    return Prefetch(arguments["lookup"], queryset=queryset, to_attr=arguments.get("to_attr"))


def prefetch_related(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> QuerySet:
    """Return ``queryset.prefetch_related(*args)``, with a query for each level that the client gives no query for."""
    if args == [None]:
        return queryset.prefetch_related(None)
    models_by_path = {lookup.prefetch_to: _model_of(lookup) for lookup in prefetch_lookups(queryset)}
    lookups: list[Prefetch] = []
    for argument in args:
        lookup = argument if isinstance(argument, Prefetch) else Prefetch(argument)
        lookups += _levels(ev, queryset.model, lookup, models_by_path)
    return queryset.prefetch_related(*lookups)


def _model_of(lookup: Prefetch) -> type[Model]:
    return lookup.queryset.model


def _levels(ev: Evaluator, model: type[Model], lookup: Prefetch, known: dict[str, type[Model]]) -> list[Prefetch]:
    levels = []
    names = lookup.prefetch_through.split("__")
    for position, name in enumerate(names):
        path = "__".join(names[: position + 1])
        is_last = position == len(names) - 1
        if path in known and not (is_last and (lookup.queryset is not None or lookup.to_attr)):
            model = known[path]
            continue
        parent = model
        try:
            field = relation_named(ev.policy, model, name)
            model = field.related_model
            ev.policy.require(model, "read")
        except (FieldDoesNotExist, LookupError):
            if _sees_generic(ev, model, name):
                raise NotSupportedError(
                    f"'{path}' is a generic foreign key: its rows have several models, so the client requests them "
                    "after the answer. Write prefetch_related() in the query, before delayed()."
                ) from None
            raise AttributeError(
                f"Cannot find '{name}' on {model.__name__} object, '{path}' is an invalid parameter to "
                "prefetch_related()"
            ) from None
        own = lookup.queryset if is_last else None
        if is_last and lookup.to_attr:
            check_free(parent, [lookup.to_attr])
        if own is not None:
            prefetched = own
        else:
            # As in Django: the base manager loads rows of a foreign key, the default manager rows of reverse relations.
            is_forward = field.many_to_one or field.one_to_one
            prefetched = ev.objects(model) if is_forward else ev.default_objects(model)
        to_attr = lookup.to_attr if is_last else None
        level = PrefetchLevel(path, _complete(ev, prefetched), to_attr, own)
        known[level.prefetch_to] = model
        levels.append(level)
    return levels


def _sees_generic(ev: Evaluator, model: type[Model], name: str) -> bool:
    """Return True if ``name`` is a generic foreign key of ``model``, and the client sees both of its fields."""
    field: Any = next((field for field in model._meta.private_fields if field.name == name), None)
    names: list[Any] = [getattr(field, part, None) for part in ("ct_field", "fk_field")]
    return None not in names and all(ev.policy.sees(model, model._meta.get_field(part), part) for part in names)


def _complete(ev: Evaluator, queryset: QuerySet) -> QuerySet:
    """Load all columns if there are computed fields, because each instance could run a query for a missing column."""
    view = ev.policy.view(queryset.model)
    if view is not None and view.hides and view.computed:
        queryset = clone(queryset)
        queryset.query.all_columns = True
    return queryset
