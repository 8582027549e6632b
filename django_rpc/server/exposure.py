"""What a ``ModelRpc`` exposes, worked out once: names, columns, and what is wrong with the declaration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model
from django.db.models.manager import BaseManager

from django_rpc.graph.vocabulary import check_identifier
from django_rpc.server.options import OPERATIONS, ModelRpc

__all__ = ["Exposure"]


class Exposure:
    """One registered model, in the form that the policy asks questions of.

    ``names``: every name by which a query may call an exposed field (``customer``, ``customer_id``, ``pk``).
    ``attnames``: of the exposed concrete fields, in the model's order: what an instance brings back.
    ``columns``: table -> exposed columns, in the model's own table, its parents' and automatic through tables.
    ``computed``: name -> function of an instance.  ``writable``: names of the fields that may be set.
    Raises ImproperlyConfigured for a declaration with a mistake.
    """

    def __init__(self, model: type[Model], rpc: ModelRpc) -> None:
        self.model = model
        self.rpc = rpc
        self.opts = model._meta
        self.label = self.opts.label
        self.operations = _operations(model, rpc)
        self.fields, self.computed = self._declared()
        self.names = self._names()
        self.attnames = tuple(f.attname for f in self.opts.concrete_fields if f.attname in self.names)
        self.by_attname = {f.attname: f for f in self.opts.concrete_fields if f.attname in self.names}
        #: Names of exposed columns in the model's own table, which a query reaches without a join.
        self.local = {
            name: field
            for field in self.opts.local_concrete_fields
            if field.attname in self.by_attname and field.column is not None
            for name in (field.name, field.attname)
        }
        self.hides = len(self.attnames) < len(self.opts.concrete_fields)
        self.columns = self._columns()
        self.writable = self._writable()
        self.methods = self._methods()
        self.choices = tuple(sorted({f.name for f in self.fields} | {self.opts.pk.name}))
        self.static_permission = type(rpc).has_permission is ModelRpc.has_permission
        self.plain_rows = (
            type(rpc).get_queryset is ModelRpc.get_queryset
            and type(model._default_manager).get_queryset is BaseManager.get_queryset
        )

    def _error(self, message: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"{type(self.rpc).__name__} for {self.label}: {message}")

    def _listed(self, attribute: str) -> list[str]:
        value = getattr(self.rpc, attribute)
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise self._error(f"{attribute!r} has to be a list of names, not {value!r}.")
        names = list(value)
        for name in names:
            if not isinstance(name, str):
                raise self._error(f"{attribute!r} holds {name!r}, which is not a name.")
        return names

    def _declared(self) -> tuple[tuple[Any, ...], dict[str, Callable[[Any], Any]]]:
        if self.rpc.fields == "__all__":
            return (*self.opts.fields, *self.opts.many_to_many, *self.opts.private_fields), {}
        fields: dict[str, Any] = {}
        computed: dict[str, Callable[[Any], Any]] = {}
        for name in self._listed("fields"):
            if name == "pk":
                continue
            try:
                field = self.opts.get_field(name)
            except FieldDoesNotExist:
                computed[name] = self._computed(name)
                continue
            # A reverse relation is visible where its forward field is, which its own model says.
            if not (field.auto_created and not field.concrete):
                fields[field.name] = field
        return tuple(fields.values()), computed

    def _computed(self, name: str) -> Callable[[Any], Any]:
        try:
            check_identifier(name)
        except ValueError as error:
            raise self._error(str(error)) from None
        if callable(getattr(type(self.rpc), name, None)) and not hasattr(ModelRpc, name):
            return getattr(self.rpc, name)
        found = getattr(self.model, name, None)
        if isinstance(found, property | functools.cached_property):
            return lambda instance: getattr(instance, name)
        if callable(found):
            return lambda instance: getattr(instance, name)()
        known = ", ".join(sorted(f.name for f in self.opts.get_fields()))
        raise self._error(
            f"'fields' holds {name!r}, which is neither a field of the model ({known}), "
            "nor a property or method of it, nor a method of this class."
        )

    def _names(self) -> frozenset[str]:
        names = {"pk"}
        for field in (*self.fields, self.opts.pk, *(parent._meta.pk for parent in self.opts.get_parent_list())):
            names.add(field.name)
            names.add(getattr(field, "attname", field.name))
        return frozenset(names)

    def _columns(self) -> dict[str, frozenset[str]]:
        columns: dict[str, set[str]] = {self.opts.db_table: set()}
        for field in self.opts.concrete_fields:
            if field.attname in self.names and field.column is not None:
                columns.setdefault(field.model._meta.db_table, set()).add(field.column)
        for field in self.fields:
            if field.many_to_many and getattr(field, "remote_field", None) and hasattr(field.remote_field, "through"):
                _add_through(columns, field)
        return {table: frozenset(names) for table, names in columns.items()}

    def _writable(self) -> frozenset[str]:
        readonly = set(self._listed("readonly_fields"))
        unknown = readonly - self.names - set(self.computed)
        if unknown:
            raise self._error(
                f"'readonly_fields' holds {', '.join(sorted(unknown))}, which 'fields' does not: "
                f"{', '.join(sorted(self.names))}."
            )
        names: set[str] = set()
        for field in (*self.fields, self.opts.pk):
            pair = {field.name, getattr(field, "attname", field.name)}
            if not pair & readonly and not getattr(field, "generated", False):
                names |= pair
        if self.opts.pk.name in names:
            names.add("pk")
        return frozenset(names)

    def _methods(self) -> frozenset[str]:
        names = self._listed("methods")
        manager = self.model._default_manager
        for name in names:
            try:
                check_identifier(name)
            except ValueError as error:
                raise self._error(str(error)) from None
            owners = (type(self.rpc), manager, getattr(manager, "_queryset_class", None), self.model)
            if hasattr(ModelRpc, name) or not any(callable(getattr(owner, name, None)) for owner in owners):
                raise self._error(
                    f"'methods' holds {name!r}, which is no method of this class, of the model's manager "
                    f"{type(manager).__name__}, of its queryset or of the model. Own methods of the manager: "
                    f"{', '.join(own_methods(manager)) or 'none'}."
                )
        return frozenset(names)


def _operations(model: type[Model], rpc: ModelRpc) -> frozenset[str]:
    given = rpc.operations
    operations = frozenset((given,) if isinstance(given, str) else given)
    if operations - OPERATIONS:
        wrong = ", ".join(sorted(map(repr, operations - OPERATIONS)))
        raise ImproperlyConfigured(
            f"{type(rpc).__name__} for {model._meta.label}: 'operations' holds {wrong}; "
            f"there are {', '.join(sorted(OPERATIONS))}."
        )
    return operations


def _add_through(columns: dict[str, set[str]], field: Any) -> None:
    """The columns by which a many-to-many field joins; all columns where its table is automatic."""
    through = field.remote_field.through._meta
    target = columns.setdefault(through.db_table, set())
    if through.auto_created:
        target.update(f.column for f in through.concrete_fields)
    else:
        for name in (field.m2m_field_name(), field.m2m_reverse_field_name()):
            target.add(through.get_field(name).column)


def own_methods(manager: Any) -> list[str]:
    """Names of the public methods that the project itself wrote for a manager or its queryset."""
    from django.db.models import Manager, QuerySet

    names: set[str] = set()
    for kind in (type(manager), getattr(manager, "_queryset_class", QuerySet)):
        for base in kind.__mro__:
            if not base.__module__.startswith("django.db"):
                names |= {n for n, value in vars(base).items() if callable(value) and not n.startswith("_")}
    return sorted(n for n in names if not hasattr(Manager, n) and not hasattr(QuerySet, n))
