"""Fields, columns and operations that a ``ModelRpc`` exposes, computed once, with the checks of its declaration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model

from django_rpc.graph.vocabulary.names import check_identifier
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.django_compat import BaseManager, is_generated, queryset_class
from django_rpc.server.registry.model_rpc import OPERATIONS, ModelRpc

__all__ = ["Exposure"]


class Lists(NamedTuple):
    """Lists of fields of a ``ModelRpc``: tuples of names, ``"__all__"`` or None, as in `ModelRpc`."""

    fields: Any
    filterable_fields: Any
    writable_fields: Any
    readonly_fields: Any


#: Number of cached exposures of a model; each different combination of lists of fields has its exposure.
_MAX_VARIANTS = 200


class Exposure:
    """One registered model in the form that the policy uses.

    - ``names``: all names of the readable fields (``customer``, ``customer_id``, ``pk``).
    - ``filterable``: all names that a query may filter by.
    - ``usable``: those of ``filterable`` that are readable. They may be used anywhere in a query, and relations among
      them may be followed.
    - ``attnames``: attribute names of the readable concrete fields in the model's order, sent for an instance.
    - ``readable``, ``used``, ``compared``: columns by table. The tables are those of the model, its parents and its
      automatic through models. A query may select the columns in ``readable``, may use those in ``used`` anywhere, and
      may only compare those in ``compared`` with values.
    - ``computed``: functions of an instance by name.
    - ``writable``: names of the fields that clients may set.

    Raises ImproperlyConfigured for a mistake in the declaration.
    """

    def __init__(self, model: type[Model], rpc: ModelRpc, lists: Lists | None = None) -> None:
        self.model = model
        self.rpc = rpc
        self.opts = model._meta
        self.label = self.opts.label
        self.operations = _operations(model, rpc)
        self._is_declared = lists is None
        self.lists = lists or self._lists(lambda name: getattr(rpc, name))
        self.fields, self.computed = self._declared()
        self.names = self._names(self.fields)
        self.filterable, self.usable = self._filterable()
        self.restricts = self.names != self.usable
        self.attnames = tuple(f.attname for f in self.opts.concrete_fields if f.attname in self.names)
        self.by_attname = {f.attname: f for f in self.opts.concrete_fields if f.attname in self.names}
        #: Exposed columns in the model's table by name; a query reaches these without a join.
        self.local = {
            name: field
            for field in self.opts.local_concrete_fields
            if field.attname in self.by_attname and field.column is not None
            for name in (field.name, field.attname)
        }
        self.hides = len(self.attnames) < len(self.opts.concrete_fields)
        self.readable = self._columns(self.names)
        self.used = self._columns(self.usable)
        self.compared = self._columns(self.filterable - self.names)
        self.writable = self._writable()
        #: Fields that the values of a save may name, by attribute name.
        self.settable = {
            f.attname: f for f in self.opts.concrete_fields if f.attname in self.names or f.attname in self.writable
        }
        self.methods = self._methods()
        named = (*self.fields, self.opts.pk)
        self.choices = tuple(sorted({name for f in named for name in (f.name, getattr(f, "attname", f.name))}))
        self.static_permission = type(rpc).has_permission is ModelRpc.has_permission
        self.has_own_rows = type(rpc).get_queryset is not ModelRpc.get_queryset
        self.plain_rows = (
            type(rpc).get_queryset is ModelRpc.get_queryset
            and type(model._default_manager).get_queryset is BaseManager.get_queryset
        )
        self._by_client = any(
            getattr(type(rpc), f"get_{name}") is not getattr(ModelRpc, f"get_{name}") for name in Lists._fields
        )
        self._variants: dict[Lists, Exposure] = {}

    def for_request(self, request: RpcRequest) -> Exposure:
        """Return the exposure for the client of ``request``: this object, unless the ModelRpc distinguishes clients."""
        if not self._by_client:
            return self
        lists = self._lists(lambda name: getattr(self.rpc, f"get_{name}")(request))
        variant = self._variants.get(lists)
        if variant is None:
            if len(self._variants) >= _MAX_VARIANTS:
                self._variants.clear()
            variant = self._variants[lists] = Exposure(self.model, self.rpc, lists)
        return variant

    def _error(self, message: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"{type(self.rpc).__name__} for {self.label}: {message}")

    def _lists(self, value_of: Callable[[str], Any]) -> Lists:
        return Lists(*[self._list_of(name, value_of(name)) for name in Lists._fields])

    def _list_of(self, name: str, value: Any) -> Any:
        if value is None and name in ("filterable_fields", "writable_fields"):
            return None
        if isinstance(value, str) and value == "__all__" and name != "readonly_fields":
            return value
        return tuple(self._listed(name, value))

    def _listed(self, attribute: str, value: Any) -> list[str]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise self._error(f"{attribute!r} has to be a list of names, not {value!r}.")
        names = list(value)
        for name in names:
            if not isinstance(name, str):
                raise self._error(f"{attribute!r} holds {name!r}, which is not a name.")
        return names

    @property
    def _all(self) -> tuple[Any, ...]:
        return (*self.opts.fields, *self.opts.many_to_many, *self.opts.private_fields)

    def _declared(self) -> tuple[tuple[Any, ...], dict[str, Callable[[Any], Any]]]:
        if self.lists.fields == "__all__":
            return self._all, {}
        fields: dict[str, Any] = {}
        computed: dict[str, Callable[[Any], Any]] = {}
        for name in self.lists.fields:
            if name == "pk":
                continue
            try:
                field = self.opts.get_field(name)
            except FieldDoesNotExist:
                computed[name] = self._computed(name)
                continue
            # A reverse relation is visible if its forward field is, and the model of that field declares it.
            if not (field.auto_created and not field.concrete):
                fields[field.name] = field
        return tuple(fields.values()), computed

    def _fields_of(self, attribute: str) -> tuple[Any, ...]:
        """Return the model's fields in a list of names; the readable fields if the list is None."""
        listed = getattr(self.lists, attribute)
        if listed is None:
            return self.fields
        if listed == "__all__":
            return self._all
        fields = []
        for name in listed:
            try:
                field = self.opts.pk if name == "pk" else self.opts.get_field(name)
            except FieldDoesNotExist:
                field_names = ", ".join(sorted(f.name for f in self._all))
                raise self._error(
                    f"{attribute!r} holds {name!r}, which is no field of the model ({field_names})."
                ) from None
            if not (field.auto_created and not field.concrete):
                fields.append(field)
        return tuple(fields)

    def _computed(self, name: str) -> Callable[[Any], Any]:
        try:
            check_identifier(name)
        except ValueError as error:
            raise self._error(str(error)) from None
        if callable(getattr(type(self.rpc), name, None)) and not hasattr(ModelRpc, name):
            return getattr(self.rpc, name)
        attribute = getattr(self.model, name, None)
        if isinstance(attribute, property | functools.cached_property):
            return lambda instance: getattr(instance, name)
        if callable(attribute):
            return lambda instance: getattr(instance, name)()
        field_names = ", ".join(sorted(f.name for f in self.opts.get_fields()))
        raise self._error(
            f"'fields' holds {name!r}, which is neither a field of the model ({field_names}), "
            "nor a property or method of it, nor a method of this class."
        )

    def _names(self, fields: Iterable[Any]) -> frozenset[str]:
        names = {"pk"}
        for field in (*fields, self.opts.pk, *(parent._meta.pk for parent in self.opts.get_parent_list())):
            names.add(field.name)
            names.add(getattr(field, "attname", field.name))
        return frozenset(names)

    def _filterable(self) -> tuple[frozenset[str], frozenset[str]]:
        fields = self._fields_of("filterable_fields")
        names = self._names(fields)
        for field in fields:
            if not field.concrete and field.name not in self.names:
                raise self._error(
                    f"'filterable_fields' holds {field.name!r}, which 'fields' does not: it is no column that values "
                    "can be compared with."
                )
        return names, names & self.names

    def _columns(self, names: frozenset[str]) -> dict[str, frozenset[str]]:
        columns: dict[str, set[str]] = {self.opts.db_table: set()}
        for field in self.opts.concrete_fields:
            if field.attname in names and field.column is not None:
                columns.setdefault(field.model._meta.db_table, set()).add(field.column)
        for field in self.fields:
            if _joins(field) and field.name in names & self.usable:
                _add_through(columns, field)
        return {table: frozenset(names) for table, names in columns.items()}

    def tables(self) -> set[str]:
        """Return all tables of the model, also those that are hidden from all clients."""
        through = [f.remote_field.through._meta.db_table for f in self.opts.many_to_many if _joins(f)]
        return {self.opts.db_table, *(f.model._meta.db_table for f in self.opts.concrete_fields), *through}

    def _writable(self) -> frozenset[str]:
        fields = self._fields_of("writable_fields")
        if self.lists.writable_fields is None:
            fields = (*fields, self.opts.pk)
        readonly, known_names = set(self.lists.readonly_fields), self.names | self._names(fields)
        unknown = readonly - known_names - set(self.computed)
        if unknown and self._is_declared:
            raise self._error(
                f"'readonly_fields' holds {', '.join(sorted(unknown))}, which 'fields' does not: "
                f"{', '.join(sorted(known_names))}."
            )
        names: set[str] = set()
        for field in fields:
            pair = {field.name, getattr(field, "attname", field.name)}
            if not pair & readonly and not is_generated(field):
                names |= pair
        if self.opts.pk.name in names:
            names.add("pk")
        return frozenset(names)

    def _methods(self) -> frozenset[str]:
        names = self._listed("methods", self.rpc.methods)
        manager = self.model._default_manager
        for name in names:
            try:
                check_identifier(name)
            except ValueError as error:
                raise self._error(str(error)) from None
            owners = (type(self.rpc), manager, queryset_class(manager), self.model)
            if hasattr(ModelRpc, name) or not any(callable(getattr(owner, name, None)) for owner in owners):
                raise self._error(
                    f"'methods' holds {name!r}, which is no method of this class, of the model's manager "
                    f"{type(manager).__name__}, of its queryset or of the model. Own methods of the manager: "
                    f"{', '.join(own_methods(manager)) or 'none'}."
                )
        return frozenset(names)


def _operations(model: type[Model], rpc: ModelRpc) -> frozenset[str]:
    declared = rpc.operations
    operations = frozenset((declared,) if isinstance(declared, str) else declared)
    if operations - OPERATIONS:
        wrong = ", ".join(sorted(map(repr, operations - OPERATIONS)))
        raise ImproperlyConfigured(
            f"{type(rpc).__name__} for {model._meta.label}: 'operations' holds {wrong}; "
            f"there are {', '.join(sorted(OPERATIONS))}."
        )
    return operations


def _joins(field: Any) -> bool:
    """Return True if ``field`` is a many-to-many field with a through table."""
    return bool(field.many_to_many and getattr(field, "remote_field", None) and hasattr(field.remote_field, "through"))


def _add_through(columns: dict[str, set[str]], field: Any) -> None:
    """Add the columns for the joins of a many-to-many field; all columns of an automatic through table."""
    through = field.remote_field.through._meta
    target = columns.setdefault(through.db_table, set())
    if through.auto_created:
        target.update(f.column for f in through.concrete_fields)
    else:
        for name in (field.m2m_field_name(), field.m2m_reverse_field_name()):
            target.add(through.get_field(name).column)


def own_methods(manager: Any) -> list[str]:
    """Return the names of the public methods that the project defines on a manager or its queryset."""
    from django.db.models import Manager, QuerySet

    names: set[str] = set()
    for kind in (type(manager), queryset_class(manager)):
        for base in kind.__mro__:
            if not base.__module__.startswith("django.db"):
                names |= {n for n, value in vars(base).items() if callable(value) and not n.startswith("_")}
    return sorted(n for n in names if not hasattr(Manager, n) and not hasattr(QuerySet, n))
