"""The queryset of a mirror: a real ``QuerySet`` that records each step as a node.

This module defines three kinds of methods, each kind by one small function: methods that return a queryset
(`_recorded`), methods that return a value (`_terminal`), and methods that are refused (`_refused`). All other methods
are Django's, and use the compilers of the backend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from django.conf import settings
from django.db import connections, models, router
from django.db.models import Q, QuerySet, Subquery
from django.db.models.signals import post_save, pre_save
from django.db.utils import NotSupportedError
from django.utils import timezone
from django.utils.functional import Promise

from django_rpc.backend.django_compat import (
    Query,
    UpdateQuery,
    rows_in_memory,
    set_rows,
    was_prefetched,
)
from django_rpc.client.outages import recent_outage
from django_rpc.client.unit_of_work import Operation
from django_rpc.graph.delayed.delayed import Delayed, Output
from django_rpc.graph.delayed.lambdas import is_recorded
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Call, Method, Node, callsite
from django_rpc.graph.values import freeze
from django_rpc.models import prefetch
from django_rpc.models.async_methods import AsyncMethods
from django_rpc.models.bulk import BulkMethods
from django_rpc.models.cascades import LocalPart
from django_rpc.models.custom_fields import prepared_lookups, prepares_lookups
from django_rpc.models.delete_signals import DeleteSignals
from django_rpc.models.dispatch import perform
from django_rpc.models.expressions import materialize_iterators, prepared_value, to_local_query
from django_rpc.models.future_methods import delayed_terminal
from django_rpc.models.instances import as_model, deleted_labels, found_or_made, with_known_related
from django_rpc.models.iterable import MirrorIterable
from django_rpc.models.lambdas import recorded_in_lambdas
from django_rpc.models.notebook import NotebookTable
from django_rpc.models.options import chosen_database, database_of
from django_rpc.models.query import RpcQuery
from django_rpc.models.saving import new_instance
from django_rpc.wire.zones import read_zone, zone_text

__all__ = ["RpcQuerySet", "rpc_queryset_class"]

#: Number of arguments of ``datetimes()``: the field, the kind, the order and the zone.
_DATETIMES_ARGUMENTS = 4


def _recorded(name: str) -> Callable[..., Any]:
    """Return the QuerySet method ``name``, extended to add its node."""
    parent = getattr(QuerySet, name)

    @functools.wraps(parent)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = materialize_iterators(args), materialize_iterators(kwargs)
        node = Method(self.query.node, name, freeze(args), freeze(kwargs), where=callsite())
        clone = parent(self, *to_local_query(args), **to_local_query(kwargs))
        clone.query.node = node
        return clone

    return method


def _terminal(name: str) -> Callable[..., Any]:
    """Return the QuerySet method ``name``; after ``future()`` it sends a message, and returns a future."""
    parent = getattr(QuerySet, name)

    @functools.wraps(parent)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._future:
            return delayed_terminal(self, name, args, kwargs).submit(**self.query.options)
        return parent(self, *materialize_iterators(args), **materialize_iterators(kwargs))

    return method


def _refused(name: str, reason: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotSupportedError(f"{self.model.__name__}.objects.{name}() cannot be sent to a service: {reason}")

    method.__name__ = name
    return method


@recorded_in_lambdas
class RpcQuerySet(AsyncMethods, BulkMethods, NotebookTable, QuerySet):
    """``QuerySet`` of a mirror.

    It adds these methods to Django's: `future`, `submit`, `delayed`, `call`, `getset`, `with_options`.
    """

    _future = False
    _locks = True

    def __init__(self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(model, query if query is not None else RpcQuery(model), using, hints)
        self._iterable_class = MirrorIterable

    # Methods that return a queryset

    annotate = _recorded("annotate")
    alias = _recorded("alias")
    order_by = _recorded("order_by")
    distinct = _recorded("distinct")
    reverse = _recorded("reverse")
    dates = _recorded("dates")
    select_related = _recorded("select_related")
    _select_for_update = _recorded("select_for_update")

    def select_for_update(self, *args: Any, **kwargs: Any) -> Any:
        """Lock the rows, as Django does.

        The lock ends with the message, so a read without the write in the same message is refused.
        """
        return self._select_for_update(*args, **kwargs) if self._locks else self._chain()

    defer = _recorded("defer")
    only = _recorded("only")

    def datetimes(self, *args: Any, **kwargs: Any) -> Any:
        """Use the zone that is active now, as Django does.

        Other methods use the zone that is active at the evaluation.
        """
        if settings.USE_TZ and len(args) < _DATETIMES_ARGUMENTS and kwargs.get("tzinfo") is None:
            kwargs["tzinfo"] = read_zone(zone_text(timezone.get_current_timezone()))
        return _recorded("datetimes")(self, *args, **kwargs)

    def values(self, *fields: Any, **expressions: Any) -> Any:
        return self._recorded_values("values", fields, expressions)

    def values_list(self, *fields: Any, **options: Any) -> Any:
        return self._recorded_values("values_list", fields, options)

    def _recorded_values(self, name: str, fields: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Record values() or values_list().

        Without arguments, they select the fields of the mirror, not all of the service.
        """
        fields, keywords = tuple(map(_named, materialize_iterators(fields))), materialize_iterators(keywords)
        node, where = self.query.node, callsite()
        frozen, options = freeze(fields), freeze(keywords)
        clone = getattr(super(), name)(*to_local_query(fields), **to_local_query(keywords))
        if not fields and (name == "values_list" or not keywords):
            frozen = (*clone.query.values_select, *clone.query.annotation_select)
        clone.query.node = Method(node, name, frozen, options, where=where)
        return clone

    def _combinator_query(self, combinator: str, *other_qs: Any, all: bool = False) -> Any:
        node, where = self.query.recorded(), callsite()
        arms = freeze(other_qs)
        clone = super()._combinator_query(combinator, *other_qs, all=all)
        clone.query.node = Method(node, combinator, arms, {"all": True} if all else {}, where=where)
        return clone

    def using(self, alias: str | None) -> Any:
        is_known = alias is not None and alias in connections  # an unknown alias fails at the evaluation
        return super().using(database_of(self.model, alias) if is_known else alias)

    def extra(self, select: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Refuse SQL, except for the through column that Django's many-to-many prefetch selects."""
        columns = prefetch.through_columns(select) if not args and not kwargs else None
        if columns is None:
            raise NotSupportedError(
                f"{self.model.__name__}.objects.extra() cannot be sent to a service: no SQL crosses the wire. "
                "Use annotate() with query expressions."
            )
        node = self.query.node
        clone = super().extra(select=select)
        clone.query.node = Method(node, "through_columns", (), columns)
        return clone

    raw = _refused("raw", "no SQL crosses the wire. Use the queryset's methods, or a registered method: .call().")

    # Methods that return a value

    get = _terminal("get")
    first = _terminal("first")
    last = _terminal("last")
    earliest = _terminal("earliest")
    latest = _terminal("latest")
    in_bulk = _terminal("in_bulk")
    count = _terminal("count")
    exists = _terminal("exists")
    contains = _terminal("contains")
    aggregate = _terminal("aggregate")
    explain = _terminal("explain")

    def create(self, **kwargs: Any) -> Any:
        """Create a row, as Django does; values may be futures and Delayed."""
        self._for_write = True
        instance = new_instance(self.model, materialize_iterators(kwargs))
        results = []
        instance._state.sending = lambda saved: results.append(self._perform(saved))  # so that the mirror's save() runs
        instance.save(force_insert=True, using=self.db)
        return results[0] if self._future and results else instance

    def get_or_create(self, defaults: Any = None, **kwargs: Any) -> Any:
        """Get or create a row, as Django does, with one message and one transaction at the service."""
        if not self._future and not self._is_said_by_values(defaults, kwargs):
            return super().get_or_create(defaults, **kwargs)
        values = {"defaults": self._stored(defaults), **self._stored(kwargs)}
        made = functools.partial(found_or_made, self, kwargs, defaults, None)
        return self._write("get_or_create", (), values, made)

    def update_or_create(self, defaults: Any = None, create_defaults: Any = None, **kwargs: Any) -> Any:
        """Update or create a row, as Django does, with one message and one transaction at the service."""
        options = {"defaults": defaults} if create_defaults is None else {"create_defaults": create_defaults}
        if not self._future and not self._is_said_by_values(defaults, kwargs, create_defaults):
            steps = self._chain()
            steps._locks = False  # Django locks the row first, but no lock can last for several messages
            return super(RpcQuerySet, steps).update_or_create(**{"defaults": defaults, **options}, **kwargs)
        values = {"defaults": self._stored(defaults), **self._stored(kwargs)}
        if create_defaults is not None:
            values["create_defaults"] = self._stored(create_defaults)
        new = defaults if create_defaults is None else create_defaults
        return self._write(
            "update_or_create", (), values, functools.partial(found_or_made, self, kwargs, new, defaults)
        )

    def _is_said_by_values(self, defaults: Any, kwargs: dict[str, Any], create_defaults: Any = None) -> bool:
        """Return True if the service can execute the whole call.

        It cannot compute values that the client makes only for a new row: callables, properties, the mirror's
        ``save()`` and receivers of its signals. Raise Django's errors for a wrong lookup or an unknown name.
        """
        self.filter(**kwargs)
        model = self.model
        if model.save is not models.Model.save or pre_save.has_listeners(model) or post_save.has_listeners(model):
            return False
        for params in (defaults, create_defaults):
            if params is not None and type(params) is not dict:
                return False
        params = self._extract_model_params(defaults, **{**kwargs, **(create_defaults or {})})
        fields = {name for f in model._meta.concrete_fields for name in (f.name, f.attname)} | {"pk"}
        return fields.issuperset(params) and not any(
            (callable(value) and not _is_remote_value(value)) or isinstance(value, Promise)
            for value in (*params.values(), *kwargs.values())
        )

    def update(self, **kwargs: Any) -> Any:
        self._not_support_combined_queries("update")
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        return self._write("update", (), self._update_values(kwargs))

    def _update(self, values: Any, returning_fields: Any = None) -> Any:
        """Update by field objects, as Django does internally. It never returns fields, as Django 6.0 can."""
        count = self._write("update", (), self._update_values({field.name: value for field, _, value in values}))
        if returning_fields is None:
            return count
        return [()] if count > 0 else []  # for the single row that Django updates

    def getset(self, **values: Any) -> Any:
        """Set ``values`` on every row of the query, and return the old values, in one transaction.

        Return a list of dicts with the primary key and the old values, in the query's order:

        >>> Product.objects.filter(pk=1).getset(price=5)
        [{'id': 1, 'price': Decimal('...')}]
        """
        if not values:
            raise TypeError("getset() needs at least one field to set: getset(price=5).")
        return self._write("getset", (), self._update_values(values))

    def delete(self) -> Any:
        self._not_support_combined_queries("delete")
        if self.query.is_sliced:
            raise TypeError("Cannot use 'limit' or 'offset' with delete().")
        if self.query.distinct_fields:
            raise TypeError("Cannot call delete() after .distinct(*fields).")
        if self._fields is not None:
            raise TypeError("Cannot call delete() after .values() or .values_list()")
        if self._future:
            return delayed_terminal(self, "delete", (), {}).submit(**self.query.options)
        if self.query.is_known_empty():
            return 0, {}
        # As in Django's collector, instances are fetched where their deletion has receivers.
        local, alias = LocalPart(self.model), self.db
        instances = list(self._chain()) if local else None
        local.collect(instances or (), self)
        signals = DeleteSignals(self.model, lambda: self._chain() if instances is None else instances, alias, self)
        signals.before()
        finish: Callable[[Any], Any] = lambda answer: local.delete(deleted_labels(alias, answer))  # noqa: E731
        return self._write("delete", (), {}, finish, lambda answer: signals.after())

    delete.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads
    delete.queryset_only = True  # type: ignore[attr-defined]  # a mark that Django reads

    def _raw_delete(self, using: str) -> int:
        return int(self.delete()[0])

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method ``name`` that the service registered (``ModelRpc.methods``) on its manager or queryset.

        Arguments are data, queries, futures or Delayed. Return the result of the method.
        """
        node = Call(
            self.__rpc_node__(),
            name,
            freeze(materialize_iterators(args)),
            freeze(materialize_iterators(kwargs)),
            where=callsite(),
        )
        return self._run(node)

    # Other ways to evaluate

    def future(self) -> Any:
        """Return a queryset that does not wait for answers: call `submit`, or a method that returns a value."""
        clone = self._chain()
        clone._future = True
        return clone

    def with_options(self, *, timeout: float | None = None, priority: bool | None = None) -> Any:
        """Return the same query with other options for its message: a timeout in seconds, the priority queue."""
        clone = self._chain()
        new_options = {"timeout": timeout, "priority": priority}
        clone.query.options = {**clone.query.options, **{k: v for k, v in new_options.items() if v is not None}}
        return clone

    def submit(self, **options: Any) -> Any:
        """Send the query now, and return a future of the evaluated queryset."""
        (future,) = self._session.submit([self.rpc_output()], **{**self.query.options, **options})
        future._node = self.query.nested(self._db)  # as an argument, the future is the query, even if it requested more
        return future

    def compute(self, **options: Any) -> Any:
        """Return the rows of the queryset as a list, with one message."""
        (value,) = self._session.compute([self.rpc_output()], **{**self.query.options, **options})
        return list(value)

    def delayed(self) -> Delayed:
        """Return a `Delayed` of this query, which sends nothing before ``compute()``."""
        node, finish = self.__rpc_node__(), None
        if self._fields is None:
            parents, generic = self._known_related_objects, self._generic_lookups
            finish = functools.partial(_instances_of, self.model, parents, generic)
            if parents or generic:
                node = msgspec.structs.replace(node, link=functools.partial(_linked, self.model, parents, generic))
        return Delayed(node, finish)

    @property
    def _generic_lookups(self) -> list[Any]:
        return prefetch.generic_lookups(self.model, self._prefetch_related_lookups)

    def __rpc_node__(self) -> Node:
        """Return the node of the query with its prefetch lookups, which only instances need.

        Further calls may follow it, so the node also records if the next filter continues the last filter.
        """
        query = self.query
        node = query.recorded(self.db)
        if query.filter_is_sticky:
            node = Method(node, "sticky", where=node.where)
        generic = [lookup.prefetch_to for lookup in self._generic_lookups]
        lookups = tuple([item for item in self._prefetch_related_lookups if _path_of(item) not in generic])
        return Method(node, "prefetch_related", freeze(lookups), where=node.where) if lookups else node

    def __rpc_local__(self) -> Any:
        return self

    def rpc_output(self) -> Any:
        """Return the output to request, and the function that fills this queryset with the answer."""
        if not self._future:
            return prefetch.output_for(self)
        plain = self._chain()
        plain._future = False
        node, fill = prefetch.output_for(plain)

        def finish(value: Any) -> Any:
            assert fill is not None
            set_rows(self, rows_in_memory(fill(value)), was_prefetched(plain))
            return plain

        return Output(node, finish)

    # Copies and evaluation by Django

    def _clone(self) -> Any:
        clone = super()._clone()
        if self._future:
            clone._future = True
        return clone

    def _fetch_all(self) -> None:
        if self._result_cache is None and prefetch.can_travel_together(self):
            self._session.compute([prefetch.output_for(self)], **self.query.options)
            return
        super()._fetch_all()

    def __repr__(self) -> str:
        """Return the rows as Django does; after a failure of the service, a description, without another message."""
        outage = "" if self._result_cache is not None else recent_outage(self.db)
        if not outage:
            return str(super().__repr__())
        return f"<{type(self).__name__} {describe(self.query.recorded())} not fetched, after {outage}>"

    @property
    def db(self) -> str:  # type: ignore[override]  # a property in Django, and an attribute of the mixin of bulk methods
        choose = router.db_for_write if self._for_write else router.db_for_read
        return chosen_database(self.model, self._db, choose, self._hints)

    # Helpers

    @property
    def _session(self) -> Any:
        return connections[self.db].session

    def _run(self, node: Node, finish: Any = None, *after: Any) -> Any:
        """Send a node that returns a value; return a future after ``future()``, otherwise the result."""
        finish = finish or functools.partial(as_model, self.model)
        if is_recorded(node):
            return Delayed(node, finish)
        return self._perform(Operation(node, finish, *after))

    def _perform(self, operation: Operation) -> Any:
        return perform(self.db, operation, self.query.options, self._future)

    def _write(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *then: Any) -> Any:
        """Send a method that writes. ``then`` are ``finish`` and ``after`` of `Operation`, to replace the defaults."""
        self._for_write = True
        node = Method(self.query.recorded(self.db), name, freeze(args), freeze(kwargs), where=callsite())
        value = self._run(node, *then)
        self._result_cache = None
        return value

    def _update_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return ``values`` of an update, checked against the fields of the mirror and prepared for the wire."""
        values = materialize_iterators(values)
        check = self.query.chain(UpdateQuery)
        check.add_update_values(to_local_query(values))
        connection = connections[self.db]
        meta = self.model._meta
        fields = {name: meta.pk if name == "pk" else meta.get_field(name) for name in values}
        for name, value in values.items():
            if isinstance(value, models.Model) and not fields[name].remote_field:
                raise TypeError(
                    f"Tried to update field {fields[name]} with a model instance, {value!r}. "
                    f"Use a value compatible with {type(fields[name]).__name__}."
                )
        return {name: prepared_value(fields[name], value, connection) for name, value in values.items()}

    def _stored(self, params: Any) -> Any:
        """Return lookups and values by the names of fields, with values as the service stores them."""
        params = _resolved(params)
        if not params:
            return params
        condition = Q()
        condition.children = list(params.items())
        return dict(prepared_lookups(self.query, condition).children) if prepares_lookups(condition) else params


for _name in ("create", "get_or_create", "update_or_create", "update", "_update", "bulk_update", "getset", "call"):
    getattr(RpcQuerySet, _name).alters_data = True
RpcQuerySet._update.queryset_only = False  # type: ignore[attr-defined]  # a mark that Django reads
RpcQuerySet._raw_delete.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads
RpcQuerySet.rpc_output.queryset_only = True  # type: ignore[attr-defined]  # a mark that Django reads


def _instances_of(model: Any, parents: dict[Any, dict[Any, Any]], generic: list[Any], rows: Any) -> Any:
    return _linked(model, parents, generic, as_model(model, rows))


def _linked(model: Any, parents: dict[Any, dict[Any, Any]], generic: list[Any], value: Any) -> Any:
    """Return ``value`` with related instances in its rows: of a related manager, and of generic foreign keys."""
    value = with_known_related(parents, value)
    return prefetch.prefetched_here(model, generic, value) if generic else value


def _path_of(lookup: Any) -> str:
    return str(getattr(lookup, "prefetch_to", lookup))


def _resolved(params: Any) -> Any:
    """Call callable defaults at the client, as Django's ``resolve_callables`` does."""
    if params is None:
        return None
    return {
        name: value() if callable(value) and not _is_remote_value(value) else value for name, value in params.items()
    }


def _named(field: Any) -> Any:
    """Return an expression for a query that is selected without a name, so that both sides use the same name."""
    return Subquery(field) if isinstance(field, QuerySet | Query) else field


def _is_remote_value(value: Any) -> bool:
    return hasattr(type(value), "__rpc_node__")


@functools.cache
def rpc_queryset_class(cls: type[QuerySet]) -> type[QuerySet]:
    """Return a subclass of the user's QuerySet class ``cls`` that records nodes."""
    if issubclass(cls, RpcQuerySet):
        return cls
    if cls is models.QuerySet:
        return RpcQuerySet
    return type(cls.__name__, (cls, RpcQuerySet), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})
