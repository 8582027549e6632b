"""Conversion of the records in a result to instances of mirrors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_rpc.backend.django_compat import (
    ForwardManyToOneDescriptor,
    ReverseOneToOneDescriptor,
    create_namedtuple_class,
    keeps_saved_expressions,
    prefetch_cache_key,
    set_rows,
)
from django_rpc.errors import BadResponse
from django_rpc.graph.nodes import ModelSource, Node, Save
from django_rpc.graph.values import Record, Table
from django_rpc.models.custom_fields import loader
from django_rpc.models.options import mirror_for, mirror_options, options_of, through_named
from django_rpc.models.reply_checks import (
    annotated_names,
    check_deleted,
    check_found_or_made,
    check_free_name,
    check_keys,
    check_related,
)
from django_rpc.wire.messages import ErrorReport

__all__ = [
    "MirrorResults",
    "as_model",
    "deleted_labels",
    "found_or_made",
    "keep_expression",
    "loaded_names",
    "with_known_related",
]


class MirrorResults:
    """Conversion of the results of one database alias (`django_rpc.client.session.Results`)."""

    def __init__(
        self, alias: str, mirrors: Mapping[str, Any] | None = None, annotated: frozenset[str] = frozenset()
    ) -> None:
        self.alias = alias
        #: Names of annotations of the request.
        self.annotated = annotated
        self.mirrors = mirrors or {}

    def of(self, nodes: Iterable[Node]) -> MirrorResults:
        """Return results with the mirrors of the request and their related mirrors, for models with several mirrors."""
        nodes = list(nodes)
        annotated = annotated_names(nodes)
        written = {node.model.lower(): node.mirror for node in nodes if type(node) is ModelSource and node.mirror}
        mirrors = dict(written)
        for mirror in written.values():
            for related in related_mirrors(mirror):
                mirrors.setdefault(mirror_options(related).label.lower(), related)
        if not annotated and all(mirror_for(self.alias, label) is mirror for label, mirror in mirrors.items()):
            return self
        return MirrorResults(self.alias, mirrors, annotated)

    def mirror(self, label: str) -> Any:
        """Return the mirror of the service's model ``label``, or None."""
        return self.mirrors.get(label.lower()) or mirror_for(self.alias, label)

    def record(self, record: Record) -> Any:
        """Return an instance of the mirror of ``record.model``; the record itself where no mirror is declared."""
        model = self.mirror(record.model)
        if model is None:
            return record
        instance = _instance(self, model, record.fields, record.values)
        self._link(model, record.parents, [instance])
        return instance

    def table(self, table: Table) -> Any:
        model = self.mirror(table.model)
        if model is None:
            return table
        instances = [_instance(self, model, table.fields, row) for row in table.rows]
        self._link(model, table.parents, instances)
        return instances

    def _link(self, model: Any, parents: Iterable[tuple[str, Record]], instances: list[Any]) -> None:
        """Cache in ``instances`` the instance whose relation they were read through, as a related manager does."""
        for name, record in parents:
            descriptor = getattr(model, name, None)
            if isinstance(descriptor, ForwardManyToOneDescriptor):
                relation, related = descriptor.field, descriptor.field.related_model
            elif isinstance(descriptor, ReverseOneToOneDescriptor):
                relation, related = descriptor.related, descriptor.related.related_model
            else:
                continue  # the mirror does not declare the relation
            parent = self.record(record)
            check_related(model, name, related, (parent,))
            for instance in instances:
                check_keys(instance, relation, parent)
                if not relation.is_cached(instance):
                    relation.set_cached_value(instance, parent)

    def row(self, fields: tuple[str, ...], values: Iterable[Any]) -> Any:
        """Return a named tuple of Django's class; values of ``annotate()`` after ``values_list()`` have no names."""
        return tuple.__new__(create_namedtuple_class(*fields), values)

    def error(self, report: ErrorReport, node: Node | None) -> Exception:
        from django_rpc.models.errors import build

        return build(self, report, node)

    def shapes(self, nodes: Iterable[Node]) -> Mapping[str, tuple[str, ...]]:
        """Return the fields that instances must have, for each model of the nodes and its related models.

        Rows name their columns themselves, so a graph that only requests rows needs no shapes.
        """
        shapes: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            if isinstance(node, ModelSource):
                model = node.mirror or mirror_for(self.alias, node.model)
                for related in () if model is None else related_mirrors(model):
                    label = mirror_options(related).label
                    names = loaded_names(related)
                    shapes[label] = tuple(dict.fromkeys((*shapes.get(label, ()), *names)))
            elif isinstance(node, Save) and node.adding:
                names = self._unsent(node)
                shapes[node.model] = tuple(dict.fromkeys((*shapes.get(node.model, ()), *names)))
        return shapes

    def _unsent(self, node: Save) -> tuple[str, ...]:
        """Return the fields of a new row that the service fills: generated fields and defaults of the database."""
        model = mirror_for(self.alias, node.model)
        names = () if model is None else loaded_names(model)
        return tuple(name for name in names if name not in node.values)


@functools.cache
def related_mirrors(model: Any) -> tuple[Any, ...]:
    """Return ``model``, and the mirrors of its service that its fields lead to, each once."""
    database = mirror_options(model).database
    related = [model, *(field.related_model for field in model._meta.get_fields() if field.is_relation)]
    options = {item: options_of(item) for item in related if isinstance(item, type)}
    return tuple(
        item for item, rpc_options in options.items() if rpc_options is not None and rpc_options.database == database
    )


@functools.cache
def loaded_names(model: Any) -> tuple[str, ...]:
    """Return the attributes of loaded instances of ``model``: ``Rpc.fields``, or all fields of the mirror."""
    options = options_of(model)
    fields = options.fields if options is not None else None
    if fields is None:
        return tuple(field.attname for field in model._meta.concrete_fields)
    names = [model._meta.pk.attname, *(_attname(model, name) for name in fields)]
    return tuple(dict.fromkeys(names))


def _attname(model: Any, name: str) -> str:
    try:
        return str(model._meta.get_field(name).attname)
    except FieldDoesNotExist:
        return name  # computed at the service


def _instance(results: MirrorResults, model: Any, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """Return an instance of ``model``. Values without a field become attributes, values of relations are cached."""
    names, loads, other_positions = _reading(model, fields, results.alias)
    instance = model.from_db(results.alias, names, [load(values[place]) for load, place in loads])
    for name, place in other_positions:
        value = values[place]
        if isinstance(value, Record):
            value = results.record(value)
        elif isinstance(value, Table):
            value = results.table(value)
        elif isinstance(value, list) and value and all(isinstance(item, Record) for item in value):
            value = [results.record(item) for item in value]
        _cache(model, instance, name, value, results.annotated)
    return instance


@functools.lru_cache(maxsize=1024)
def _reading(
    model: Any, fields: tuple[str, ...], alias: str
) -> tuple[list[str], list[tuple[Callable[[Any], Any], int]], list[tuple[str, int]]]:
    """Return the positions of the values of an instance of ``model`` in rows with the columns ``fields``.

    The result has the names of its fields, their conversions and positions, and the names and positions of other
    values.
    """
    places = {name: place for place, name in enumerate(fields)}
    loaded_fields = [field for field in model._meta.concrete_fields if field.attname in places]
    names = [field.attname for field in loaded_fields]
    other_positions = [(name, place) for name, place in places.items() if name not in names]
    return names, [(loader(field, alias), places[field.attname]) for field in loaded_fields], other_positions


def _cache(model: Any, instance: Any, name: str, value: Any, annotated: frozenset[str]) -> None:
    """Cache the related rows, or None, where Django looks for them before it queries the database.

    The rows refer to their parent, as rows do that Django prefetches or joins.
    """
    descriptor: Any = getattr(model, name, None)
    if isinstance(value, list) and hasattr(descriptor, "related_manager_cls"):
        manager = getattr(instance, name)
        check_related(model, name, manager.model, value)
        queryset = manager.get_queryset()
        set_rows(queryset, value, prefetched=True)
        cache = instance.__dict__.setdefault("_prefetched_objects_cache", {})
        cache[prefetch_cache_key(manager, descriptor.rel)] = queryset
        if descriptor.rel.one_to_many:  # of a foreign key
            _set_parent(descriptor.rel.field, instance, value)
    elif hasattr(descriptor, "related_manager_cls"):
        raise BadResponse(f"The answer of the service has no list of rows for {model.__name__}.{name}.")
    elif isinstance(descriptor, ReverseOneToOneDescriptor):
        check_related(model, name, descriptor.related.related_model, () if value is None else (value,))
        descriptor.related.set_cached_value(instance, value)
        _set_parent(descriptor.related.field, instance, [value])
    elif isinstance(descriptor, ForwardManyToOneDescriptor):
        field = descriptor.field
        check_related(model, name, field.related_model, () if value is None else (value,))
        field.set_cached_value(instance, value)
        if isinstance(value, Model) and not field.remote_field.multiple:
            field.remote_field.set_cached_value(value, instance)
    elif hasattr(getattr(descriptor, "field", descriptor), "set_cached_value"):  # a generic foreign key
        check_related(model, name, Model, () if value is None else (value,))
        getattr(descriptor, "field", descriptor).set_cached_value(instance, value)
    else:
        check_free_name(model, name, annotated)
        instance.__dict__[name] = value
        if isinstance(value, list) and value and isinstance(value[0], Model):
            _set_parents(instance, value)


def _set_parent(field: Any, parent: Any, rows: list[Any]) -> None:
    """Set ``parent`` as the cached value of the foreign key ``field`` of ``rows``, as Django's prefetch does."""
    for row in rows:
        if isinstance(row, field.model) and not field.is_cached(row):
            field.set_cached_value(row, parent)


def _set_parents(parent: Any, rows: list[Any]) -> None:
    """Set ``parent`` for the rows of a Prefetch with ``to_attr``; the answer does not name their relation.

    Each foreign key that holds the key of ``parent`` leads to it.
    """
    for field in type(rows[0])._meta.concrete_fields:
        if not field.is_relation or not isinstance(parent, field.remote_field.model):
            continue
        if len(field.foreign_related_fields) == 1:
            key = parent.__dict__.get(field.target_field.attname)
            related = [row for row in rows if row.__dict__.get(field.attname) == key]
            _set_parent(field, parent, related if key is not None else [])


def with_known_related(known: dict[Any, dict[Any, Any]], value: Any) -> Any:
    """Return ``value``, and cache in its rows the instance of the related manager that they were read from."""
    if isinstance(value, dict):  # in_bulk()
        with_known_related(known, list(value.values()))
    elif isinstance(value, list | tuple) and known:
        for item in value:
            with_known_related(known, item)
    elif isinstance(value, Model):
        for field, parents in known.items():
            if isinstance(value, field.model) and not field.is_cached(value):
                parent = parents.get(value.__dict__.get(field.attname))
                if parent is not None:
                    field.set_cached_value(value, parent)
    return value


def as_model(model: Any, value: Any) -> Any:
    """Return ``value`` with instances of other mirrors of the same model turned into instances of ``model``."""
    if isinstance(value, tuple) and value:  # get_or_create()
        return (as_model(model, value[0]), *value[1:])
    if isinstance(value, list):
        return [as_model(model, item) for item in value]
    if isinstance(value, dict):  # in_bulk()
        return {key: as_model(model, item) for key, item in value.items()}
    options = options_of(type(value)) if hasattr(type(value), "_meta") else None
    if options is None or type(value) is model or options.label != mirror_options(model).label:
        return value
    names = [f.attname for f in model._meta.concrete_fields if f.attname in value.__dict__]
    clone = model.from_db(value._state.db, names, [value.__dict__[name] for name in names])
    for name in value.__dict__.keys() - clone.__dict__.keys():
        clone.__dict__[name] = value.__dict__[name]
    return clone


def keep_expression(instance: Any, field: Any, value: Any) -> None:
    """Set the attribute of a saved instance that had an expression as its value, as ``Model.save()`` leaves it.

    Before Django 6.0, the expression stays. Since Django 6.0, the attribute has the value of the row. If the service
    did not return the value, the attribute is deferred.
    """
    if not hasattr(value, "resolve_expression") or hasattr(type(value), "__rpc_node__"):
        return
    if keeps_saved_expressions:
        instance.__dict__[field.attname] = value
    elif hasattr(instance.__dict__.get(field.attname), "resolve_expression"):
        del instance.__dict__[field.attname]


def found_or_made(queryset: Any, lookup: Any, defaults: Any, updates: Any, answer: Any) -> Any:
    """Return the answer to ``get_or_create()``; the instance keeps the related instances of the call in its cache."""
    model = queryset.model
    instance, created = as_model(model, check_found_or_made(queryset, answer))
    values = {**(lookup if created else {}), **((defaults if created else updates) or {})}
    arguments = {**lookup, **values}
    for field in model._meta.concrete_fields if isinstance(instance, model) else ():
        keep_expression(instance, field, values.get(field.name, values.get(field.attname)))
        related = arguments.get(field.name)
        if field.is_relation and isinstance(related, Model):
            column = instance.__dict__.get(field.attname)  # which may differ, where the call had both
            if column == getattr(related, field.target_field.attname):
                field.set_cached_value(instance, related)
    return instance, created


def deleted_labels(alias: str, deleted: Any) -> tuple[int, dict[str, int]]:
    """Return the result of delete() with the labels of the mirrors in place of the service's labels."""
    if not isinstance(deleted, tuple | list):
        return 0, {}  # the service overrides delete() without a count
    count, by_label = check_deleted(deleted)
    named: dict[str, int] = {}
    for label, number in by_label.items():
        model = mirror_for(alias, label) or through_named(alias, label)
        named[model._meta.label if model is not None else label] = number
    return count, named
