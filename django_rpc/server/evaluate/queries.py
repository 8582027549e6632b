"""Methods of a query that only read, called on the service's queryset.

A method that returns a queryset runs no SQL. A queryset in an argument is not evaluated, so that SQL nests it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldError
from django.db import NotSupportedError, connections
from django.db.models import Model, QuerySet

from django_rpc.graph.values import ATOMS
from django_rpc.server.conf import settings
from django_rpc.server.django_compat import (
    Col,
    Join,
    add_condition_to_all_joins,
    clone,
    filtered_relations,
    refuse_combined,
    selects_columns,
)
from django_rpc.server.evaluate import prefetch
from django_rpc.server.evaluate.evaluator import Evaluator, check_free
from django_rpc.server.policy.client_policy import ClientFieldError, Use
from django_rpc.server.policy.references import is_instance
from django_rpc.server.query.column_guard import AllRelated
from django_rpc.server.query.loaded_relations import loaded_by, remember

__all__ = ["METHODS"]

Visitor = Callable[[Evaluator, QuerySet, list[Any], dict[str, Any]], Any]


def _same(name: str) -> Visitor:
    """Return a visitor that calls Django's method unchanged."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return getattr(queryset, name)(*args, **kwargs)

    return method


def _one(name: str) -> Visitor:
    """Return a visitor for a method that returns an instance or None."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        shape = ev.results.leaf_shape(queryset) if ev.is_leaf else None
        if shape is not None:
            row = getattr(queryset.values_list(*shape.plain), name)(*args, **kwargs)
            return None if row is None else ev.results.record_of_row(shape, row)
        instance = getattr(ev.complete(queryset), name)(*args, **kwargs)
        return remember(instance, loaded_by(queryset))

    return method


def _contains(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Visit ``contains(instance)``: search a row with the key of the instance; Django uses only the key, too."""
    (instance,) = (*args, *kwargs.values())
    refuse_combined(queryset, "contains")
    if selects_columns(queryset):
        raise TypeError("Cannot call QuerySet.contains() after .values() or .values_list().")
    if not is_instance(instance):
        raise TypeError("'obj' must be a model instance.")
    model, key = ev.references.identity(instance)
    return model is queryset.model._meta.concrete_model and queryset.filter(pk=key).exists()


def _by_time(name: str) -> Visitor:
    """Return a visitor for ``latest`` or ``earliest``; without fields it uses the model's Meta if all are visible."""
    read_instance = _one(name)

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        fields = args or ev.policy.latest_by(queryset.model)
        if not fields:
            raise ValueError(
                "earliest() and latest() require either fields as positional arguments or 'get_latest_by' in the "
                "model's Meta."
            )
        return read_instance(ev, queryset, list(fields), kwargs)

    return method


def _values(change: Visitor) -> Visitor:
    """Return a visitor for ``values`` or ``values_list``, after which the rows of a union are no instances."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        clone = change(ev, queryset, args, kwargs)
        clone.query.of_instances = False
        return clone

    return method


def _naming(name: str) -> Visitor:
    """Return a visitor for ``annotate`` or a similar method; a name must not replace an attribute of the model.

    For example, ``pk=5`` would make another row of an instance.
    """

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not selects_columns(queryset):
            check_free(queryset.model, kwargs)
        return getattr(queryset, name)(*args, **kwargs)

    return method


def _names(name: str) -> Visitor:
    """Return a visitor for ``only`` or ``defer``; unknown and hidden names are refused with the same error."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for path in args:
            if path is None or path in queryset.query.annotations:
                continue
            head, sign, rest = path.partition("__")
            filtered = filtered_relations(queryset.query).get(head)
            if filtered is not None:  # it has the names of the relation that it filters
                path = filtered.relation_name + sign + rest
            ev.policy.check_path(queryset.model, path, Use.READ)
        return getattr(queryset, name)(*args, **kwargs)

    return method


def _others(name: str) -> Visitor:
    """Return a visitor for ``union`` or a similar method; all arms are queries of the client."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for other in args:
            if not isinstance(other, QuerySet):
                raise TypeError(f"{name}() takes queries; it was given {type(other).__name__}.")
        arms = [other if selects_columns(other) else ev.as_client(other) for other in args]
        combined = getattr(queryset, name)(*arms, **kwargs)
        combined.query.of_instances = combined.query.combinator is not None and not selects_columns(combined)
        return combined

    return method


def _combine(operator: str) -> Visitor:
    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        (other,) = args
        if not isinstance(other, QuerySet):
            raise TypeError(f"A query is combined with a query, not with {type(other).__name__}.")
        return getattr(queryset, operator)(ev.as_client(other))

    return method


def _select_related(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not args or args == [None]:
        clone = queryset.select_related(None)
        clone.query.__dict__.pop("wrong_related", None)
        paths = [] if args else _all_related(ev, queryset.model)
        if paths:
            clone.query.add_select_related(paths)
            clone.query.select_related = AllRelated(clone.query.select_related)
        return clone
    if isinstance(queryset.query.select_related, AllRelated):
        queryset = queryset.select_related(None)  # names replace all relations, as in Django
    clone = queryset.select_related(*args)
    try:
        for path in args:
            model = queryset.model
            for position, name in enumerate(path.split("__")):
                if position == 0 and name in filtered_relations(queryset.query):
                    break  # checked when the relation was added, and again when the query is compiled
                model = _related(ev, model, name)
    except ClientFieldError as error:
        clone.query.wrong_related = error  # raised if related rows are selected; count() and values() ignore it
    return clone


def _related(ev: Evaluator, model: type[Model], name: str) -> type[Model]:
    choices = [
        f.name
        for f in model._meta.get_fields()
        if f.is_relation and (f.many_to_one or f.one_to_one) and f.related_model and _followed(ev, model, f)
    ]
    if name not in choices:
        raise ClientFieldError(
            f"Invalid field name(s) given in select_related: '{name}'. Choices are: {', '.join(choices) or '(none)'}"
        )
    return model._meta.get_field(name).related_model


def _followed(ev: Evaluator, model: type[Model], field: Any) -> bool:
    return ev.policy.sees(model, field, field.name) and ev.policy.view(field.related_model) is not None


def _all_related(ev: Evaluator, model: type[Model], depth: int = 5) -> list[str]:
    """Return the relations of ``select_related()`` without names: those that are never null, to Django's depth."""
    paths = []
    for field in model._meta.fields:
        if field.is_relation and not field.null and field.related_model and _followed(ev, model, field):
            deeper = _all_related(ev, field.related_model, depth - 1) if depth > 1 else []
            paths += [f"{field.name}__{path}" for path in deeper] or [field.name]
    return paths


def _in_bulk(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    arguments = dict(zip(("id_list", "field_name"), args, strict=False)) | kwargs
    field_name = arguments.pop("field_name", "pk")
    ev.policy.check_path(queryset.model, field_name)
    instances = ev.complete(queryset).in_bulk(arguments.pop("id_list", None), field_name=field_name, **arguments)
    loaded = loaded_by(queryset)
    return {key: remember(instance, loaded) for key, instance in instances.items()} if loaded else instances


def _select_for_update(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Visit Django's ``select_for_update``; refused if the database would not lock the rows."""
    if ev.policy.rows(queryset.model) is not None and connections[queryset.db].vendor == "mysql":
        # The visible rows are a subquery, and MySQL and MariaDB do not lock the rows of a subquery.
        raise NotSupportedError(
            f"{queryset.model._meta.label}: no select_for_update() on this database where a client sees some rows only."
        )
    return queryset.select_for_update(*args, **kwargs)


def _aggregate(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Visit Django's ``aggregate``; an object of a field of the project is converted to the value in the database."""
    values = queryset.aggregate(*args, **kwargs)
    expressions = {**{arg.default_alias: arg for arg in args}, **kwargs}
    for alias, value in values.items():
        if type(value) not in ATOMS and not isinstance(value, dict | list):
            resolved = expressions[alias].resolve_expression(queryset.query.chain(), summarize=True)
            values[alias] = resolved.output_field.get_prep_value(value)
    return values


def _explain(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not settings.SHOW_SQL:
        raise NotSupportedError("This service does not explain queries; its setting SHOW_SQL is off.")
    return queryset.explain(*args, **kwargs)


# Methods of the Query object behind a queryset


def _on_query(change: Callable[..., None]) -> Visitor:
    """Return a visitor for a method that changes the Query in place; a sticky filter stays sticky."""

    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        changed = clone(queryset)
        changed.query.used_aliases = set(queryset.query.used_aliases)
        changed.query.filter_is_sticky = queryset.query.filter_is_sticky
        change(changed.query, *args, **kwargs)
        return changed

    return method


def _sticky(query: Any) -> None:
    """Make the next filter reuse the joins of the last filter, as if both were one call of ``filter``."""
    query.filter_is_sticky = True


def _clear_ordering(query: Any, force: bool = False, clear_default: bool = True) -> None:
    query.clear_ordering(force=force, clear_default=clear_default)


def _default_ordering(query: Any, *names: Any) -> None:
    """Set the client's ``Meta.ordering``; like the service's, it is replaced by an explicit order and by groups."""
    if not query.default_ordering or query.order_by or query.extra_order_by:
        return
    query.clear_ordering(force=True)
    if names and query.group_by is None:
        query.add_ordering(*names)


def _filter_reuse(query: Any, condition: Any) -> None:
    """Apply a ``filter`` that reuses all existing joins, as a sliced prefetch does."""
    add_condition_to_all_joins(query, condition)


def _add_fields(query: Any, names: Any, allow_m2m: bool = True) -> None:
    query.add_fields(names, allow_m2m)


def _through_columns(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Add foreign keys of a through table that the query has joined already; a many-to-many prefetch selects them.

    No model can have the names of these aliases (`graph.arguments`), so a value does not replace an attribute.
    """
    changed = clone(queryset)
    for alias, (label, attname) in kwargs.items():
        table, column = _through_column(ev, queryset.model, label, attname)
        joins = [name for name, join in changed.query.alias_map.items() if join.table_name == table]
        joins = [name for name in joins if isinstance(changed.query.alias_map[name], Join)]
        if not joins:
            raise FieldError(f"The query does not go through {label}.")
        changed.query.annotations[alias] = Col(joins[0], column)
        changed.query.append_annotation_mask([alias])
    return changed


def _through_column(ev: Evaluator, model: type[Model], label: str, attname: str) -> tuple[str, Any]:
    """Return table and field of a foreign key of ``label``, a model through which ``model`` is related to many."""
    through = ev.policy.model(label)
    if not any(field.remote_field.through is through for field in _many_to_many(model)):
        raise FieldError(f"{label} is no model of a many-to-many relation of {model.__name__}.")
    for field in through._meta.concrete_fields:
        if field.is_relation and attname in (field.attname, field.column):
            ev.policy.check_path(through, field.name, Use.READ)
            return through._meta.db_table, field
    raise FieldError(f"Cannot resolve keyword '{attname}' into field.")


def _many_to_many(model: type[Model]) -> list[Any]:
    """Return the many-to-many fields that lead from ``model`` or to it."""
    fields = [field for field in model._meta.get_fields(include_hidden=True) if field.many_to_many]
    return [getattr(field, "field", field) for field in fields]


METHODS: dict[str, Visitor] = {
    **{
        name: _same(name)
        for name in ("all filter exclude order_by distinct reverse dates datetimes none count exists").split()
    },
    **{name: _naming(name) for name in ("annotate", "alias")},
    "values": _values(_naming("values")),
    "values_list": _values(_same("values_list")),
    **{name: _one(name) for name in ("get", "first", "last")},
    **{name: _by_time(name) for name in ("earliest", "latest")},
    **{name: _names(name) for name in ("only", "defer")},
    **{name: _others(name) for name in ("union", "intersection", "difference")},
    "and_": _combine("__and__"),
    "or_": _combine("__or__"),
    "xor": _combine("__xor__"),
    "select_related": _select_related,
    "prefetch_related": prefetch.prefetch_related,
    "in_bulk": _in_bulk,
    "select_for_update": _select_for_update,
    "contains": _contains,
    "aggregate": _aggregate,
    "explain": _explain,
    "sticky": _on_query(_sticky),
    "filter_reuse": _on_query(_filter_reuse),
    "clear_ordering": _on_query(_clear_ordering),
    "add_ordering": _on_query(lambda query, *names: query.add_ordering(*names)),
    "default_ordering": _on_query(_default_ordering),
    "clear_limits": _on_query(lambda query: query.clear_limits()),
    "clear_select_clause": _on_query(lambda query: query.clear_select_clause()),
    "add_fields": _on_query(_add_fields),
    "through_columns": _through_columns,
}
