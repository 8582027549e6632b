"""Parents and their prefetched rows in one message.

Django prefetches after the parents have arrived, with one query for each lookup. Here the queries of all lookups are
planned first. Where Django would filter by the keys of the parents, the node refers to the column of the parents, and
the service fills in the values. After the answer, Django's ``prefetch_related_objects`` runs as usual, on querysets
that already have their rows (`FetchedRows`).

Some lookups cannot be planned: generic foreign keys, sliced querysets, a parent with a deferred key. Django fetches
their rows with further messages.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Prefetch, QuerySet, prefetch_related_objects

from django_rpc.backend.compiler import column_names
from django_rpc.backend.django_compat import (
    ModelIterable,
    Query,
    clone,
    filter_reuses_joins,
    has_rows,
    normalize_prefetch_lookups,
    prefetch_lookups,
    row_iterable,
    set_prefetch_lookups,
    set_rows,
    using_of,
    was_prefetched,
)
from django_rpc.backend.django_compat import (
    related_descriptors as related,
)
from django_rpc.graph.delayed.delayed import Output
from django_rpc.graph.nodes import Column, Literal, Method, Node, Rows, callsite
from django_rpc.graph.values import Condition, RowSet
from django_rpc.graph.vocabulary.signatures import THROUGH_PREFIX
from django_rpc.graph.walk import objects_in
from django_rpc.models.options import leads_away, mirror_options, options_of
from django_rpc.models.query import hidden_path
from django_rpc.models.registry import registry
from django_rpc.models.relations import RpcReverseDescriptor

__all__ = ["FetchedRows", "can_travel_together", "generic_lookups", "output_for", "prefetched_here", "through_columns"]

#: False for releases of Django before 5.0.
REUSES_ALL = "reuse_all" in inspect.signature(Query.add_q).parameters
_VALUE_PREFIX = "_prefetch_related_val_"


class FetchedRows:
    """Received rows of a query, which its clones share until they are read."""

    __slots__ = ("rowset",)

    def __init__(self) -> None:
        self.rowset: RowSet | None = None


@dataclass(frozen=True)
class _Level:
    """Rows of one model from the service ``using``, before they arrive: the parents of the next lookups."""

    model: type[models.Model]
    rows: Rows
    using: str

    def nearest(self, model: Any) -> str | None:
        """Return the alias for rows of ``model``: the alias of the parents, if one service has both models."""
        near = mirror_options(self.model).database == mirror_options(model).database
        return self.using if near else None


@dataclass
class _PrefetchPlan:
    """Nodes to send together with the parents, each with the answer that receives its rows."""

    nodes: list[Rows] = field(default_factory=list)
    answers: list[FetchedRows] = field(default_factory=list)

    def lookups(self, level: _Level, lookups: Any) -> tuple[Any, ...]:
        """Return ``lookups`` with querysets that will receive their rows, where that can be planned."""
        done: dict[str, _Level] = {}
        planned: list[Any] = []
        for lookup in reversed(normalize_prefetch_lookups(reversed(lookups))):
            if lookup.queryset is not None and lookup.prefetch_to in done:
                planned.append(lookup)  # Django refuses a second queryset for the same rows
            else:
                planned.extend(self._path(level, lookup, done))
        return tuple(planned)

    def _path(self, root: _Level, lookup: Prefetch, done: dict[str, _Level]) -> Iterator[Any]:
        level = root
        parts = lookup.prefetch_through.split("__")
        for depth, part in enumerate(parts):
            path = lookup.get_current_prefetch_to(depth)
            if path in done:
                level = done[path]
                continue
            leaf = depth == len(parts) - 1
            queryset = lookup.queryset if leaf else None
            step = self._step(level, part, queryset)
            if step is None:
                break
            level, answered = step
            done[path] = level
            through = "__".join([*path.split("__")[:-1], part])
            yield Prefetch(through, answered, lookup.to_attr if leaf and lookup.to_attr else None)
        else:
            return
        yield lookup

    def _step(self, level: _Level, name: str, queryset: Any) -> tuple[_Level, Any] | None:
        relation = _relation(level.model, name)
        if relation is not None and queryset is not None:
            _refuse_local(relation.model, queryset)
        if relation is None or (queryset is not None and not _is_plannable(queryset)):
            return None
        key, lookup, related_model, to_many, through = relation
        if key not in level.rows.columns or options_of(related_model) is None:
            return None
        if queryset is None:
            # As in Django: one row is read by the base manager, several rows by the default manager.
            manager = related_model._default_manager if to_many else related_model._base_manager
            queryset = manager.all()
            if not _is_plannable(queryset):
                return None
        filtered = clone(queryset) if using_of(queryset) else queryset.using(level.nearest(queryset.model))
        filtered.query.node = _filtered(filtered.query.node, lookup, Column(level.rows, key), to_many)
        if through is not None:
            filtered = filtered.extra(select=through)
        rows = rows_of(filtered)
        below = _Level(filtered.model, rows, filtered.db)
        answer = FetchedRows()
        self.nodes.append(rows)
        self.answers.append(answer)
        answered = clone(queryset)
        set_prefetch_lookups(answered, self.lookups(below, prefetch_lookups(queryset)))
        answered.query.answer = answer
        return below, answered


def _filtered(node: Node, lookup: str, values: Column, to_many: bool) -> Node:
    """Return ``node`` filtered by ``lookup`` as Django filters the rows of a relation that it prefetches.

    Since Django 5.0 the filter of a relation to many rows reuses all joins of the query.
    """
    if to_many and filter_reuses_joins:
        return Method(node, "filter_reuse", (Condition(((lookup, values),)),), where=callsite())
    return Method(node, "filter", (), {lookup: values}, where=callsite())


def rows_of(queryset: Any) -> Rows:
    """Return the node for the rows that fill ``queryset``."""
    compiler = queryset.query.get_compiler(queryset.db)
    compiler.setup_query()
    return Rows(queryset.query.recorded(queryset.db), column_names(compiler), where=callsite())


def can_travel_together(queryset: Any) -> bool:
    """Return True when ``queryset`` has prefetch lookups that can be part of its message."""
    return bool(
        prefetch_lookups(queryset)
        and not was_prefetched(queryset)
        and issubclass(row_iterable(queryset), ModelIterable)
        and not queryset.query.has_rows
        and not queryset.query.is_known_empty()
    )


def output_for(queryset: Any) -> Output:
    """Return the output to request, and the function that fills ``queryset`` with the answer.

    Its result is ``queryset``.
    """
    parents = rows_of(queryset)
    plan = _PrefetchPlan()
    lookups: tuple[Any, ...] = prefetch_lookups(queryset)
    if lookups and issubclass(row_iterable(queryset), ModelIterable):
        lookups = plan.lookups(_Level(queryset.model, parents, queryset.db), lookups)

    def fill(rowsets: Any) -> Any:
        parents_answer = FetchedRows()
        first, *other_rowsets = rowsets if plan.nodes else (rowsets,)
        for answer, rowset in zip([parents_answer, *plan.answers], [first, *other_rowsets], strict=True):
            answer.rowset = rowset
        queryset.query.answer = parents_answer
        try:
            rows = list(row_iterable(queryset)(queryset))
            set_rows(queryset, rows, prefetched=False)
            if lookups:
                prefetch_related_objects(rows, *lookups)
                set_rows(queryset, rows, prefetched=True)
        finally:
            queryset.query.answer = None
            for answer in plan.answers:
                answer.rowset = None
        return queryset

    return Output(Literal((parents, *plan.nodes)) if plan.nodes else parents, fill)


def generic_lookups(model: Any, lookups: Iterable[Any]) -> list[Any]:
    """Return those of ``lookups``, at any depth, that follow a generic foreign key.

    A node cannot contain such a lookup, because the rows of each content type have another model. Django fetches these
    rows after the answer, as `prefetched_here` requests.
    """
    generic = []
    for lookup in normalize_prefetch_lookups(lookups):
        if _is_generic(model, lookup.prefetch_through):
            generic.append(lookup)
        elif lookup.queryset is not None:
            nested = generic_lookups(lookup.queryset.model, prefetch_lookups(lookup.queryset))
            generic += normalize_prefetch_lookups(map(copy.copy, nested), lookup.prefetch_to)
    return generic


def _is_generic(model: Any, path: str) -> bool:
    for name in path.split("__"):
        fields = model._meta.get_fields() if model is not None else ()
        field = next((field for field in fields if _accessor(field) == name), None)
        if hasattr(field, "ct_field"):
            return True
        model = getattr(field, "related_model", None)
    return False


def _accessor(field: Any) -> str:
    return str(field.get_accessor_name() if field.auto_created and not field.concrete else field.name)


def prefetched_here(model: Any, lookups: list[Any], value: Any) -> Any:
    """Return ``value`` after Django has prefetched ``lookups`` for the instances of ``model`` in it."""
    instances = [instance for instance in _instances_in(value) if isinstance(instance, model)]
    if instances:
        prefetch_related_objects(instances, *lookups)
    return value


def _instances_in(value: Any) -> Iterator[models.Model]:
    return (leaf for leaf in objects_in(value) if isinstance(leaf, models.Model))


def through_columns(select: Any) -> dict[str, Any] | None:
    """Return the columns of a through model that Django's many-to-many prefetch selects by SQL; None for other SQL.

    ``{"_prefetch_related_val_order_id": '"shop_line"."order_id"'}`` becomes
    ``{"rpc_through__order_id": ("shop.Line", "order_id")}``: names that the service turns into its columns.
    """
    if not select or not all(name.startswith(_VALUE_PREFIX) for name in select):
        return None
    columns = {}
    for name, text in select.items():
        table, _, column = text.replace('"', "").partition(".")
        attname = name.removeprefix(_VALUE_PREFIX)
        named = _through_column(table, attname, column)
        if named is None:
            return None
        columns[THROUGH_PREFIX + attname] = named
    return columns


def _through_column(table: str, attname: str, column: str) -> tuple[str, str] | None:
    for model in registry.get_models(include_auto_created=True):
        if model._meta.db_table != table:
            continue
        options = options_of(model)
        for key in model._meta.concrete_fields:
            if options is not None and (key.attname, key.column) == (attname, column):
                return options.label, _attname_there(model, key)
    return None


def _attname_there(through: Any, key: Any) -> str:
    """Return the service's name for a foreign key of a through model.

    In an automatic through model, this name is derived from the names of both models.
    """
    target = options_of(key.related_model) if key.is_relation else None
    if not through._meta.auto_created or target is None:
        return str(key.attname)
    ends = {f.related_model for f in through._meta.concrete_fields if f.is_relation}
    prefix = "" if len(ends) > 1 else "from_" if key.name.startswith("from_") else "to_"
    return f"{prefix}{target.label.rpartition('.')[2].lower()}_id"


def _refuse_local(related_model: Any, queryset: Any) -> None:
    if options_of(related_model) is not None and options_of(queryset.model) is None:
        raise TypeError(
            f"Prefetch() was given a queryset of the local model {queryset.model.__name__}, but the relation leads to "
            f"the mirror {related_model.__name__}, whose rows are at a service."
        )


def _is_plannable(queryset: Any) -> bool:
    return (
        isinstance(queryset, QuerySet)
        and hasattr(queryset.query, "recorded")
        and not queryset.query.is_sliced
        and not queryset.query.combinator
        and not has_rows(queryset)
        and issubclass(row_iterable(queryset), ModelIterable)
        and not queryset.query.is_known_empty()
    )


class _Related(NamedTuple):
    """Relation, as it is read: ``lookup`` filters ``model`` by the parents' values of ``key``."""

    key: str
    lookup: str
    model: Any
    to_many: bool
    #: For a many-to-many, the columns of its through table that Django selects with each row.
    through: dict[str, str] | None = None


def _relation(model: Any, name: str) -> _Related | None:
    """Return how rows of the relation ``name`` of ``model`` are read; None for a relation that is not planned."""
    descriptor: Any = getattr(model, name, None)
    if isinstance(descriptor, related.ManyToManyDescriptor):
        return _many_to_many(descriptor)
    if isinstance(descriptor, related.ForwardManyToOneDescriptor):
        fk, remote = descriptor.field, descriptor.field.remote_field.model
        if len(fk.foreign_related_fields) != 1:
            return None
        return _Related(fk.attname, f"{fk.foreign_related_fields[0].name}__in", remote, to_many=False)
    if isinstance(descriptor, related.ReverseOneToOneDescriptor):
        fk, to_many = descriptor.related.field, False
    elif type(descriptor) in (related.ReverseManyToOneDescriptor, RpcReverseDescriptor):
        fk, to_many = descriptor.rel.field, True
    else:
        return None
    if len(fk.foreign_related_fields) != 1:
        return None
    name = fk.attname if leads_away(fk) else fk.name
    return _Related(fk.foreign_related_fields[0].attname, f"{name}__in", fk.model, to_many)


def _many_to_many(descriptor: Any) -> _Related | None:
    many, through = descriptor.rel.field, descriptor.rel.through
    if descriptor.reverse:
        lookup, source, target = many.name, many.m2m_reverse_field_name(), many.model
    else:
        lookup, source, target = many.related_query_name(), many.m2m_field_name(), many.remote_field.model
    fk = through._meta.get_field(source)
    if len(fk.foreign_related_fields) != 1:
        return None
    columns = {f"{_VALUE_PREFIX}{fk.attname}": f'"{through._meta.db_table}"."{fk.column}"'}
    lookup = hidden_path(target, f"{lookup}__in")
    return _Related(fk.foreign_related_fields[0].attname, lookup, target, True, columns)
