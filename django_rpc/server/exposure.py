"""What a ``ModelRpc`` exposes, worked out once: names, columns, and what is wrong with the declaration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model
from django.db.models.manager import BaseManager

from django_rpc.graph.vocabulary import check_identifier
from django_rpc.server.options import OPERATIONS, ModelRpc
from django_rpc.server.request import RpcRequest

__all__ = ["Exposure"]


class Lists(NamedTuple):
    """What a ``ModelRpc`` says of fields: tuples of names, ``"__all__"`` or None, as `ModelRpc` has them."""

    fields: Any
    filterable_fields: Any
    writable_fields: Any
    readonly_fields: Any


#: Sets of fields that are kept of one model: as many kinds of clients a service tells apart.
_MOST = 200


class Exposure:
    """One registered model, in the form that the policy asks questions of.

    ``names``: every name by which a client may read a field (``customer``, ``customer_id``, ``pk``).
    ``filterable``: every name that a query may filter by.  ``usable``: of these, what may be read as well: it may
    stand anywhere in a query, and a relation may be followed.
    ``attnames``: of the readable concrete fields, in the model's order: what an instance brings back.
    ``readable``, ``used``, ``compared``: table -> columns, in the model's own table, its parents' and automatic
    through tables: what may be selected, what may stand anywhere, what may be compared only.
    ``computed``: name -> function of an instance.  ``writable``: names of the fields that may be set.
    Raises ImproperlyConfigured for a declaration with a mistake.
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
        #: Names of exposed columns in the model's own table, which a query reaches without a join.
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
        #: What the values of a save may be named by.
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
        """What is exposed to the client of ``request``: this, unless the ModelRpc says it for each client."""
        if not self._by_client:
            return self
        lists = self._lists(lambda name: getattr(self.rpc, f"get_{name}")(request))
        found = self._variants.get(lists)
        if found is None:
            if len(self._variants) >= _MOST:
                self._variants.clear()
            found = self._variants[lists] = Exposure(self.model, self.rpc, lists)
        return found

    def _error(self, message: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"{type(self.rpc).__name__} for {self.label}: {message}")

    def _lists(self, given: Callable[[str], Any]) -> Lists:
        return Lists(*[self._list_of(name, given(name)) for name in Lists._fields])

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
            # A reverse relation is visible where its forward field is, which its own model says.
            if not (field.auto_created and not field.concrete):
                fields[field.name] = field
        return tuple(fields.values()), computed

    def _fields_of(self, attribute: str) -> tuple[Any, ...]:
        """The model's own fields of a list; those that may be read where it is None."""
        given = getattr(self.lists, attribute)
        if given is None:
            return self.fields
        if given == "__all__":
            return self._all
        fields = []
        for name in given:
            try:
                field = self.opts.pk if name == "pk" else self.opts.get_field(name)
            except FieldDoesNotExist:
                known = ", ".join(sorted(f.name for f in self._all))
                raise self._error(f"{attribute!r} holds {name!r}, which is no field of the model ({known}).") from None
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
        """Every table into which the model reaches, whatever of it a client may see."""
        through = [f.remote_field.through._meta.db_table for f in self.opts.many_to_many if _joins(f)]
        return {self.opts.db_table, *(f.model._meta.db_table for f in self.opts.concrete_fields), *through}

    def _writable(self) -> frozenset[str]:
        fields = self._fields_of("writable_fields")
        if self.lists.writable_fields is None:
            fields = (*fields, self.opts.pk)
        readonly, known = set(self.lists.readonly_fields), self.names | self._names(fields)
        unknown = readonly - known - set(self.computed)
        if unknown and self._is_declared:
            raise self._error(
                f"'readonly_fields' holds {', '.join(sorted(unknown))}, which 'fields' does not: "
                f"{', '.join(sorted(known))}."
            )
        names: set[str] = set()
        for field in fields:
            pair = {field.name, getattr(field, "attname", field.name)}
            if not pair & readonly and not getattr(field, "generated", False):
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


def _joins(field: Any) -> bool:
    """Whether a many-to-many field joins by a table between."""
    return bool(field.many_to_many and getattr(field, "remote_field", None) and hasattr(field.remote_field, "through"))


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
