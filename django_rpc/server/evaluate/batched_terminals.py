"""Terminal methods of one query for many keys in one statement: counts, aggregates, instances and rows by key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Avg, Count, F, Max, Min, QuerySet, StdDev, Sum, Value, Variance, Window
from django.db.models.functions import RowNumber
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from django_rpc.graph.nodes import Item, Method, Node
from django_rpc.graph.plan.query_template import TERMINALS
from django_rpc.graph.values import RowSet
from django_rpc.server.django_compat import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesIterable,
    ValuesListIterable,
    clone,
    row_iterable,
    selects_columns,
)
from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.evaluate.key_columns import Key, NoKey
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.evaluate.rows import read_rows, selected_names
from django_rpc.server.query.loaded_relations import Loaded, loaded_by, remember
from django_rpc.server.results import Instances

if TYPE_CHECKING:
    from django_rpc.server.evaluate.batched_lookup import Group
    from django_rpc.server.evaluate.environment import Frame
    from django_rpc.server.evaluate.scheduler import Engine

__all__ = ["as_list", "ask", "empty_aggregate", "rows_of"]

#: ``get()`` reports the number of rows up to this limit, as in Django.
_GET_LIMIT = 21
Answer = Callable[[tuple[Any, ...], "Group"], Any]
_Asker = Callable[["_Asked"], Answer]


def as_list(engine: Engine, node: Node, frame: Frame, row: int) -> Any:
    """Return the value of a query for one row of a frame.

    For an element of a map, the rows are read here, so an error belongs to this element.  Otherwise the query itself is
    returned, and its rows are read for the reply.
    """
    value = engine.value(node, frame, row)
    if isinstance(value, Relation):
        value = value.queryset(engine.ev)
    return value if frame is engine.root else rows_of(engine, value, engine.place[node])


def rows_of(engine: Engine, value: Any, position: int) -> Any:
    """Return the rows of a query as data, any other value unchanged; a Failure if the rows cannot be read."""
    if not isinstance(value, QuerySet):
        return value
    try:
        if selects_columns(value):
            return list(value)
        return Instances(list(engine.ev.complete(engine.ev.as_client(value))), value.model, loaded_by(value))
    except Exception as error:  # noqa: BLE001 - the error belongs to this element
        return Failure(error, position)


class _Asked:
    """One terminal method on one query for many keys.

    - ``names``: the columns that hold the key.
    - ``unique``: True if a key has at most one row.
    - ``leaf``: True if only the reply needs the values.
    """

    def __init__(
        self, engine: Engine, queryset: QuerySet, names: tuple[str, ...], last: Any, keys: list[Key], leaf: bool
    ) -> None:
        self.leaf = leaf
        self.engine, self.ev = engine, engine.ev
        self.queryset, self.names, self.last = queryset, names, last
        self.joined = [name for name in names if name in queryset.query.annotations]
        self.unique = any(key.is_unique for key in keys)
        self.args = self.ev.resolve.args(last.args) if isinstance(last, Method) else []
        self.kwargs = self.ev.resolve.kwargs(last.kwargs) if isinstance(last, Method) else {}

    # The query; its limits apply to each key

    def limits(self) -> tuple[int, int | None]:
        query = self.queryset.query
        return query.low_mark, query.high_mark

    def unlimited(self) -> QuerySet:
        queryset = clone(self.queryset)
        queryset.query.clear_limits()
        return queryset

    def limited(self, queryset: QuerySet, low: int, high: int | None) -> QuerySet:
        """Return ``queryset[low:high]`` of each key, by a window function over the rows of the key in their order."""
        if low == 0 and (high is None or (self.unique and high > 0)):
            return queryset
        query = queryset.query
        if query.distinct or query.group_by is not None or not connections[queryset.db].features.supports_over_clause:
            raise NoKey("a slice of distinct or grouped rows")
        order = [expression for expression, _ in query.get_compiler(using=queryset.db).get_order_by()]
        window = Window(RowNumber(), partition_by=[F(name) for name in self.names], order_by=order or None)
        conditions = [GreaterThan(window, low)] if low else []
        if high is not None:
            conditions.append(LessThanOrEqual(window, high))
        return queryset.filter(*conditions)

    def plain(self) -> QuerySet:
        """Return the query without order, limits and related rows, so that it can be grouped by the key alone."""
        query = self.queryset.query
        if query.distinct or query.group_by is not None or query.combinator or query.distinct_fields:
            raise NoKey("it counts distinct or grouped rows")
        return self.unlimited().order_by().select_related(None).prefetch_related(None)

    # Its rows

    def instances(self, queryset: QuerySet) -> dict[tuple[Any, ...], list[Any]]:
        """Return the instances of each key in their order; their records if only the reply needs them."""
        if row_iterable(queryset) is not ModelIterable:
            raise NoKey("it brings values, and no instances")
        shape = self.ev.results.leaf_shape(queryset) if self.leaf else None
        if shape is not None:
            columns = tuple(dict.fromkeys((*shape.plain, *self.names)))
            rows = _by_key(self, columns, queryset.values_list(*columns), len(shape.plain))
            return {key: [self.ev.results.record_of_row(shape, row) for row in of_key] for key, of_key in rows.items()}
        loaded = self.loaded()
        instances_by_key: dict[tuple[Any, ...], list[Any]] = {}
        for instance in self.ev.complete(queryset):
            key = tuple([getattr(instance, name) for name in self.names])
            for name in self.joined:
                del instance.__dict__[name]
            instances_by_key.setdefault(key, []).append(remember(instance, loaded))
        return instances_by_key

    def loaded(self) -> Loaded:
        loaded = loaded_by(self.queryset)
        names = tuple([name for name in loaded.names if name not in self.joined])
        return Loaded(names, loaded.relations, loaded.parents, loaded.queries)


def ask(
    engine: Engine,
    queryset: QuerySet,
    names: tuple[str, ...],
    last: Node | None,
    keys: list[Key],
    *,
    leaf: bool = False,
) -> Answer:
    """Return a function from a key to the value of ``last``; the values of all keys are read by one statement.

    If ``last`` is None, the values are the rows of the keys.  Raises NoKey if one statement is not possible.
    """
    asked = _Asked(engine, queryset, names, last, keys, leaf and last is not None)
    if last is None:
        return _list(asked)
    name = last.name if isinstance(last, Method) else "item" if isinstance(last, Item) else "rows"
    return _ASKERS[name](asked)


def _count(asked: _Asked) -> Answer:
    low, high = asked.limits()
    rows = asked.plain().values_list(*asked.names).annotate(rpc_count=Count("*"))
    counts = {row[:-1]: row[-1] for row in rows}

    def answer(key: tuple[Any, ...], group: Group) -> int:
        number = counts.get(key, 0)
        return max(0, min(number, number if high is None else high) - low)

    return answer


def _exists(asked: _Asked) -> Answer:
    if asked.queryset.query.is_sliced:
        count = _count(asked)
        return lambda key, group: count(key, group) > 0
    query = asked.queryset.query
    if query.group_by is not None or query.combinator or query.distinct_fields:
        raise NoKey("it looks at grouped rows")
    queryset = asked.unlimited().order_by().select_related(None).prefetch_related(None)
    existing_keys = set(queryset.values_list(*asked.names).distinct())
    return lambda key, group: key in existing_keys


def _aggregate(asked: _Asked) -> Answer:
    query = asked.queryset.query
    if query.is_sliced or set(query.annotations) - set(asked.joined):
        raise NoKey("it aggregates sliced or annotated rows")
    aggregates = {expression.default_alias: expression for expression in asked.args} | asked.kwargs
    base = asked.plain()
    empty = empty_aggregate(base, asked.args, asked.kwargs)
    own = {f"rpc_value{number}": expression for number, expression in enumerate(aggregates.values())}
    width = len(asked.names)
    # Annotations must not have the names of fields, but aggregates may: so they get other names in the query.
    rows = base.values_list(*asked.names).annotate(**own)
    values_by_key = {row[:width]: dict(zip(aggregates, row[width:], strict=True)) for row in rows}
    return lambda key, group: values_by_key.get(key) or dict(empty())


#: Aggregates with the result None, or 0, for no rows on each database.
_PLAIN_AGGREGATES = (Avg, Count, Max, Min, StdDev, Sum, Variance)


def empty_aggregate(queryset: Any, args: list[Any], kwargs: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a function that returns ``queryset.aggregate(...)`` of no rows; a wrong expression raises at once.

    Only the database knows the type of a ``default``.  So if an expression has a default, the function runs one
    statement at its first call.
    """
    values = queryset.none().aggregate(*args, **kwargs)
    if all(type(item) in _PLAIN_AGGREGATES and item.default is None for item in (*args, *kwargs.values())):
        return lambda: values
    no_rows = queryset.filter(GreaterThan(Value(0), Value(1)))  # without rows, but Django does not know it
    return functools.cache(functools.partial(no_rows.aggregate, *args, **kwargs))


def _get(asked: _Asked) -> Answer:
    queryset = asked.queryset
    if queryset.query.is_sliced or queryset.query.distinct or queryset.query.combinator:
        raise NoKey("get() of sliced or distinct rows")
    model = queryset.model
    instances_by_key = asked.instances(asked.limited(queryset.order_by(), 0, _GET_LIMIT))

    def answer(key: tuple[Any, ...], group: Group) -> Any:
        rows = instances_by_key.get(key, ())
        if len(rows) == 1:
            return rows[0]
        position = asked.engine.place[group.lane[0]]
        name = model._meta.object_name
        if not rows:
            return Failure(model.DoesNotExist(f"{name} matching query does not exist."), position)
        number = len(rows) if len(rows) < _GET_LIMIT else f"more than {_GET_LIMIT - 1}"
        text = f"get() returned more than one {name} -- it returned {number}!"
        return Failure(model.MultipleObjectsReturned(text), position)

    return answer


def _end(asked: _Asked, reverse: bool) -> Answer:
    queryset = asked.queryset
    if queryset.query.is_sliced or asked.args or asked.kwargs:
        raise NoKey("the first of a slice")
    if reverse:
        queryset = queryset.reverse() if queryset.ordered else queryset.order_by("-pk")
    elif not queryset.ordered:
        queryset = queryset.order_by("pk")
    instances_by_key = asked.instances(asked.limited(queryset, 0, 1))
    return lambda key, group: instances_by_key[key][0] if key in instances_by_key else None


def _by_time(asked: _Asked, reverse: bool) -> Answer:
    queryset = asked.unlimited()
    if asked.queryset.query.is_sliced or asked.kwargs.keys() - {"fields"}:
        raise NoKey("the latest of a slice")
    fields = asked.args or asked.ev.policy.latest_by(queryset.model)
    if not fields:
        raise NoKey("it names no fields")
    queryset.query.clear_ordering(force=True)
    queryset.query.add_ordering(*fields)
    queryset = queryset.reverse() if reverse else queryset
    instances_by_key = asked.instances(asked.limited(queryset, 0, 1))
    model = queryset.model

    def answer(key: tuple[Any, ...], group: Group) -> Any:
        if key in instances_by_key:
            return instances_by_key[key][0]
        text = f"{model._meta.object_name} matching query does not exist."
        return Failure(model.DoesNotExist(text), asked.engine.place[group.lane[0]])

    return answer


def _item(asked: _Asked) -> Answer:
    index = asked.ev.resolve(asked.last.key)
    if asked.queryset.query.is_sliced or type(index) is not int or index < 0:
        raise NoKey("an item of a slice")
    instances_by_key = asked.instances(asked.limited(asked.queryset, index, index + 1))

    def answer(key: tuple[Any, ...], group: Group) -> Any:
        if key in instances_by_key:
            return instances_by_key[key][0]
        return Failure(IndexError("list index out of range"), asked.engine.place[group.lane[0]])

    return answer


def _rows(asked: _Asked) -> Answer:
    columns = asked.last.columns
    if selects_columns(asked.queryset):
        raise NoKey("it reads the rows of values()")
    from django_rpc.server.evaluate.rows import has_computed

    if has_computed(asked.ev, asked.queryset, columns):
        raise NoKey("a column is computed by the service")
    queryset = asked.limited(asked.unlimited(), *asked.limits())
    names = tuple(dict.fromkeys((*columns, *asked.names)))
    rows_by_key = _by_key(asked, names, read_rows(queryset, names), len(columns))
    return lambda key, group: RowSet(columns, rows_by_key.get(key, []))


def _list(asked: _Asked) -> Answer:
    queryset = asked.queryset
    if queryset.query.combinator:
        raise NoKey("it joins several queries")
    if selects_columns(queryset):
        return _values(asked)
    model, loaded = queryset.model, asked.loaded()
    instances_by_key = asked.instances(asked.limited(asked.unlimited(), *asked.limits()))
    return lambda key, group: Instances(instances_by_key.get(key, ()), model, loaded)


#: Constructors of the rows of values() and values_list(), from their names and a tuple of values.
_FORMS: dict[Any, Callable[[tuple[str, ...], tuple[Any, ...]], Any]] = {
    ValuesIterable: lambda names, row: dict(zip(names, row, strict=True)),
    ValuesListIterable: lambda names, row: row,
    FlatValuesListIterable: lambda names, row: row[0],
}


def _values(asked: _Asked) -> Answer:
    queryset = asked.queryset
    form = _FORMS.get(row_iterable(queryset))
    if form is None or queryset.query.group_by is not None:
        raise NoKey("it groups, or makes named tuples")
    names = tuple(name for name in selected_names(queryset.query) if name not in asked.joined)
    limited = asked.limited(asked.unlimited(), *asked.limits())
    limited.query.append_annotation_mask(asked.joined)  # values() has masked them
    every = tuple(dict.fromkeys((*names, *asked.names)))
    rows_by_key = _by_key(asked, every, limited.values_list(*every), len(names))
    return lambda key, group: [form(names, row) for row in rows_by_key.get(key, ())]


def _by_key(asked: _Asked, names: tuple[str, ...], rows: Any, width: int) -> dict[tuple[Any, ...], list[Any]]:
    """Group rows by key, and return the first ``width`` columns of each row."""
    places = [names.index(name) for name in asked.names]
    rows_by_key: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        rows_by_key.setdefault(tuple([row[place] for place in places]), []).append(row[:width])
    return rows_by_key


_ASKERS: dict[str, _Asker] = {
    "count": _count,
    "exists": _exists,
    "aggregate": _aggregate,
    "get": _get,
    "first": functools.partial(_end, reverse=False),
    "last": functools.partial(_end, reverse=True),
    "earliest": functools.partial(_by_time, reverse=False),
    "latest": functools.partial(_by_time, reverse=True),
    "item": _item,
    "rows": _rows,
}
if missing := TERMINALS - _ASKERS.keys():
    raise ImportError(f"graph.shapes and the server differ in {missing}.")
