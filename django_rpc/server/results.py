"""Conversion of values for the reply: an instance becomes a record of the exposed fields that the client requests."""

from __future__ import annotations

import itertools
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import FileField, Model, QuerySet
from django.utils.functional import Promise

from django_rpc.graph.values import ATOMS, NamedRow, Record, RowSet, Table, freeze
from django_rpc.server.django_compat import (
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
    clone,
    is_evaluated,
    related_cache,
    row_iterable,
    selects_columns,
)
from django_rpc.server.errors.failure import Failure
from django_rpc.server.policy.client_policy import ClientFieldError, Policy, relation_named, unknown_keyword
from django_rpc.server.query.client_query import is_client
from django_rpc.server.query.loaded_relations import NOTHING, Loaded, is_loaded, loaded_by, loaded_with

__all__ = ["Instances", "ResultEncoder"]

#: Lists, tuples and dicts in a reply. A list with the same list twice, repeated over 30 levels, would fill the memory.
MAX_CONTAINERS = 1_000_000


#: Iterables with rows as items. The items of ``values_list(flat=True)`` are values, which may be lists and dicts.
_ROW_ITERABLES = (ValuesIterable, ValuesListIterable, NamedValuesListIterable)
#: Placeholder for a value that only the database knows; the record does not get this field.
_EXPRESSION = object()


class Instances(list[Any]):
    """Instances of one model as a query returns them, with the names of related data that was loaded with them."""

    __slots__ = ("loaded", "model")

    def __init__(self, items: Any, model: type[Model], loaded: Loaded) -> None:
        super().__init__(items)
        self.model = model
        self.loaded = loaded


class _RecordFields:
    """Fields in the records of one model: ``plain`` attributes, then ``computed`` fields."""

    __slots__ = ("computed", "fields", "label", "names", "plain", "special")

    def __init__(self, label: str, plain: tuple[str, ...], computed: dict[str, Any], fields: dict[str, Any]) -> None:
        self.label = label
        self.plain = plain
        self.computed = tuple(computed.values())
        self.names = (*plain, *computed)
        self.fields = fields
        #: True if an attribute has an object of the field as value (files).
        self.special = any(isinstance(fields[name], FileField) for name in plain)


class ResultEncoder:
    """Converts the values of one reply.

    ``shapes`` has the names of the fields of an instance by model. Other models have all their exposed fields.
    """

    def __init__(self, policy: Policy, shapes: dict[str, tuple[str, ...]]) -> None:
        self.policy = policy
        self.requested_shapes = {label.lower(): names for label, names in shapes.items()}
        self._shapes: dict[type[Model], _RecordFields] = {}
        self._parent_records: dict[int, tuple[Model, Record]] = {}
        self._parent_keys: dict[tuple[type[Model], str], list[tuple[str, str]] | None] = {}
        self._containers = 0
        self._has_expressions = False

    def __call__(self, value: Any) -> Any:
        """Return ``value`` in a form that the codec can encode; raises TypeError for a value without such a form."""
        kind = type(value)
        if kind in ATOMS or kind is Record or kind is Table:
            return value
        if kind is RowSet:
            return self._row_set(value)
        if isinstance(value, Model):
            return self.record(value, loaded_with(value))
        if isinstance(value, QuerySet):
            return self._queryset(value)
        if kind is Instances:
            return self._table(value, value.model, value.loaded)
        if kind is Failure:
            return value.report()
        if isinstance(value, list | tuple | dict):
            self._containers += 1
            if self._containers > MAX_CONTAINERS:
                raise ValueError(f"The answer would hold more than {MAX_CONTAINERS:,} lists.")
        if isinstance(value, list):
            return [item if type(item) in ATOMS else self(item) for item in value]
        if isinstance(value, tuple):
            return self._row(value)
        if isinstance(value, dict):
            return {self(key): item if type(item) in ATOMS else self(item) for key, item in value.items()}
        if isinstance(value, set | frozenset):
            return kind(self(item) for item in value)
        return self._other(value)

    def _other(self, value: Any) -> Any:
        if isinstance(value, slice):
            return value
        if isinstance(value, memoryview | bytearray):
            return bytes(value)
        if isinstance(value, Promise):
            return str(value)
        if hasattr(value, "__next__"):
            return [self(item) for item in value]
        try:
            return freeze(value)
        except TypeError:
            raise TypeError(
                f"The service's value is of type {type(value).__name__}, which cannot be sent to a client."
            ) from None

    def _row_set(self, value: RowSet) -> RowSet:
        if ATOMS.issuperset(map(type, itertools.chain.from_iterable(value.rows))):
            return value
        return RowSet(value.columns, self._plain_rows(value.rows))

    def _plain_rows(self, rows: list[Any]) -> list[tuple[Any, ...]]:
        return [tuple([item if type(item) in ATOMS else self(item) for item in row]) for row in rows]

    # Instances

    def shape(self, model: type[Model]) -> _RecordFields:
        shape = self._shapes.get(model)
        if shape is None:
            shape = self._shapes[model] = self._make_shape(model)
        return shape

    def _make_shape(self, model: type[Model]) -> _RecordFields:
        view = self.policy.view(model)
        key = model._meta.pk.attname
        label = model._meta.label
        if view is None:
            # The client wrote an instance of a model that it may not read: the record has only the key.
            return _RecordFields(label, (key,), {}, {key: model._meta.pk})
        requested = self.requested_shapes.get(model._meta.label_lower)
        if requested is None:
            return _RecordFields(label, view.attnames, view.computed, view.by_attname)
        plain, computed = [key] if key in view.by_attname else [], {}
        for name in requested:
            if name in view.computed:
                computed[name] = view.computed[name]
            elif name in view.names and name != "pk":
                attname = name if name in view.by_attname else getattr(model._meta.get_field(name), "attname", None)
                if attname in view.by_attname and attname not in plain:
                    plain.append(attname)
            elif name != "pk":
                raise unknown_keyword(name, view.choices)
        return _RecordFields(label, tuple(plain), computed, view.by_attname)

    def leaf_shape(self, queryset: QuerySet) -> _RecordFields | None:
        """Return the shape of a queryset's instances; None if the reply needs more than their plain attributes."""
        query = queryset.query
        if selects_columns(queryset) or query.annotations or loaded_by(queryset):
            return None
        shape = self.shape(queryset.model)
        return None if query.select_related or self._needs_instances(queryset, shape, NOTHING) else shape

    def record_of_row(self, shape: _RecordFields, row: tuple[Any, ...]) -> Record:
        return Record(shape.label, shape.plain, tuple([v if type(v) in ATOMS else self(v) for v in row]))

    def record(self, instance: Model, loaded: Loaded) -> Record:
        names, values = self._parts(instance, self.shape(type(instance)), loaded)
        return Record(instance._meta.label, names, tuple(values), self._parents(instance, names, loaded))

    def _parents(self, instance: Model, names: tuple[str, ...], loaded: Loaded) -> tuple[tuple[str, Record], ...]:
        """Return the records of the parents of ``instance`` that the client sees, with the keys that prove them."""
        pairs = []
        for name in loaded.parents:
            parent = related_cache(instance).get(name)
            relation = type(instance), name
            if relation not in self._parent_keys:
                self._parent_keys[relation] = _keys(self.policy, *relation)
            keys = self._parent_keys[relation]
            if parent is None or keys is None:
                continue
            if id(parent) not in self._parent_records:
                self._parent_records[id(parent)] = parent, self.record(parent, loaded_with(parent))
            record = self._parent_records[id(parent)][1]
            if all(
                key in names and of_parent in record.fields and instance.__dict__[key] == parent.__dict__[of_parent]
                for key, of_parent in keys
            ):
                pairs.append((name, record))
        return tuple(pairs)

    def _parts(self, instance: Model, shape: _RecordFields, loaded: Loaded) -> tuple[tuple[str, ...], list[Any]]:
        attributes = instance.__dict__
        # Select the loaded attributes before computed fields run, because these may load other attributes.
        names = tuple([name for name in shape.plain if name in attributes])
        values = [self._value(shape, name, attributes[name]) for name in names]
        if self._has_expressions:
            self._has_expressions = False
            pairs = [(name, value) for name, value in zip(names, values, strict=True) if value is not _EXPRESSION]
            names, values = tuple([name for name, _ in pairs]), [value for _, value in pairs]
        if loaded:
            extra = [name for name in loaded.names if name in attributes]
            names += tuple(extra)
            values += [self(attributes[name]) for name in extra]
            for name, deeper in loaded.relations.items():
                if not is_loaded(instance, name):
                    continue
                names += (name,)
                values.append(self._related(instance, name, deeper))
        if shape.computed:
            names += shape.names[len(shape.plain) :]
            values += [self(function(instance)) for function in shape.computed]
        return names, values

    def _value(self, shape: _RecordFields, name: str, value: Any) -> Any:
        if type(value) in ATOMS:
            return value
        if isinstance(value, dict | list):
            return self(value)
        if hasattr(value, "resolve_expression"):
            self._has_expressions = True
            return _EXPRESSION
        return self(shape.fields[name].get_prep_value(value))

    def _related(self, instance: Model, name: str, loaded: Loaded) -> Any:
        value: Any = getattr(instance, name, None)
        if isinstance(value, Model):
            return self.record(value, loaded)
        if isinstance(value, list):
            model = type(value[0]) if value else _target(self.policy, instance, name)
            return self._table(value, model, loaded)
        if hasattr(value, "all"):
            return self._table(list(value.all()), value.model, loaded)
        return None

    def _table(self, instances: list[Model], model: type[Model] | None, loaded: Loaded) -> Any:
        if model is None:
            return []
        shape = self.shape(model)
        rows: list[tuple[Any, ...]] = []
        header: tuple[str, ...] | None = None
        parents: tuple[tuple[str, Record], ...] = ()
        for instance in instances:
            names, values = self._parts(instance, shape, loaded)
            of_instance = self._parents(instance, names, loaded)
            if header is None:
                header, parents = names, of_instance
            if names != header or of_instance != parents:
                # Instances with different loaded fields, or different parents, have no common header.
                return [self.record(item, loaded) for item in instances]
            rows.append(tuple(values))
        return Table(shape.label, header if header is not None else shape.names, rows, parents)

    # Querysets

    def _queryset(self, queryset: QuerySet) -> Any:
        if selects_columns(queryset):
            rows = self._counted(queryset)
            if row_iterable(queryset) in _ROW_ITERABLES:
                return [self._row(row) for row in rows]
            return [item if type(item) in ATOMS else self(item) for item in rows]
        shape = self.shape(queryset.model)
        loaded = loaded_by(queryset)
        if self._needs_instances(queryset, shape, loaded):
            view = self.policy.view(queryset.model)
            if shape.computed and view is not None and view.hides:
                queryset = clone(queryset)
                queryset.query.all_columns = True
            return self._table(self._counted(queryset), queryset.model, loaded)
        names = (*shape.plain, *loaded.names)
        rows = self._counted(queryset.values_list(*names))
        if not ATOMS.issuperset(map(type, itertools.chain.from_iterable(rows))):
            rows = self._plain_rows(rows)
        return Table(shape.label, names, rows)

    def _row(self, row: Any) -> Any:
        """Return a row of ``values()`` or ``values_list()`` with converted values."""
        if isinstance(row, dict):
            return {name: item if type(item) in ATOMS else self(item) for name, item in row.items()}
        values = tuple([item if type(item) in ATOMS else self(item) for item in row])
        return NamedRow(type(row)._fields, values) if hasattr(row, "_fields") else values

    def _counted(self, queryset: QuerySet) -> list[Any]:
        rows = list(queryset)
        if not is_client(queryset):  # a query of the service's code; rows of a client's query are counted when read
            self.policy.budget.count_rows(rows)
        return rows

    def _needs_instances(self, queryset: QuerySet, shape: _RecordFields, loaded: Loaded) -> bool:
        view = self.policy.view(queryset.model)
        return bool(
            shape.computed
            or shape.special
            or loaded.relations
            or loaded.parents
            or is_evaluated(queryset)
            or queryset.query.deferred_loading != (frozenset(), True)
            or queryset.query.distinct
            # The arms of a union leave out fields that may be read but not used in a query.
            or (queryset.query.combinator and view is not None and view.restricts)
        )


def _keys(policy: Policy, model: type[Model], name: str) -> list[tuple[str, str]] | None:
    """Return the attributes of a row of ``model`` that are equal to attributes of its related row ``name``.

    Return None if the client does not see the relation.
    """
    try:
        relation = relation_named(policy, model, name)
    except FieldDoesNotExist:
        return None
    if relation.concrete:
        return [(source.attname, target.attname) for source, target in relation.related_fields]
    return [(target.attname, source.attname) for source, target in relation.field.related_fields]


def _target(policy: Policy, instance: Model, name: str) -> type[Model] | None:
    try:
        return relation_named(policy, type(instance), name).related_model
    except (LookupError, ClientFieldError):
        return None
    except Exception:  # noqa: BLE001 - the to_attr of a Prefetch without rows, for which no model is known here
        return None
