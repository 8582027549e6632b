"""Reads for each element of a query, as subqueries of one statement over these elements.

A value that a lambda takes from its element (``row.credit``) becomes an ``OuterRef``, in any lookup.  So
``customers.map(lambda c: c.orders.filter(total__gt=c.credit).count())`` is one statement after that of the customers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.db.models import Count, Exists, Model, OuterRef, Subquery, Value

from django_rpc.graph.nodes import Attr, Element, Method, ModelSource, Node
from django_rpc.graph.plan.query_template import NESTED, Shape, is_step, shape_of
from django_rpc.server.django_compat import (
    known_parents,
    prefetch_lookups,
    selects_columns,
    set_known_parents,
    with_sticky_filter,
)
from django_rpc.server.evaluate.batched_terminals import empty_aggregate
from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.key_columns import NoKey, room
from django_rpc.server.evaluate.relation_batch import key_of_relation
from django_rpc.server.evaluate.relations import Relation, is_all, knowing_parents
from django_rpc.server.evaluate.value_keys import token
from django_rpc.server.query.loaded_relations import loaded_by, remember

if TYPE_CHECKING:
    from django_rpc.server.evaluate.batched_lookup import Group
    from django_rpc.server.evaluate.scheduler import Engine

__all__ = ["ALONE", "read"]

#: Placeholder for a value that needs a separate statement.
ALONE: Any = object()


def read(engine: Engine, groups: list[Group], shape: Shape) -> list[Any] | None:
    """Return the values of the groups, `ALONE` for a separate read; None if no subquery is possible."""
    node, frame, _ = groups[0].lane
    last = shape.steps[-1] if shape.steps else None
    if engine.ev.writes or frame.param is None or not isinstance(last, Method) or last.name not in _EXPRESSIONS:
        return None
    if any(group.lane[0] is not node for group in groups):
        return None
    models = {type(frame.elements[group.lane[2]]) for group in groups}
    if len(models) != 1 or not issubclass(model := models.pop(), Model):
        return None
    places = [place for place, leaf in enumerate(shape.leaves) if _differs(engine, leaf.value, frame.param)]
    names = _references(engine, [shape.leaves[place].value for place in places], shape.anchor, frame.param, model)
    if names is None:
        return None
    # A comparison with Python's None is an error or differs from SQL, where null is not equal to itself.
    comparable = [group for group in groups if all(_is_known(group.values[place], model) for place in places)]
    values_by_group: dict[int, Any] = {}
    for alike in _alike(comparable, places):
        try:
            values_by_group.update(
                zip(map(id, alike), _Outer(engine, alike, shape, names, model).answers(last), strict=True)
            )
        except Exception as error:  # NoKey, or an error: each separate read raises the error that belongs to it
            if engine.ev.in_transaction and isinstance(error, DatabaseError):
                raise
            return None
    return [values_by_group.get(id(group), ALONE) for group in groups]


def _alike(groups: list[Group], places: list[int]) -> Iterable[list[Group]]:
    """Group the groups that differ only in the values at ``places``; others belong to elements of outer maps."""
    groups_by_values: dict[Hashable, list[Group]] = {}
    for group in groups:
        rest = [token(value) for place, value in enumerate(group.values) if place not in places]
        groups_by_values.setdefault(tuple(rest), []).append(group)
    return groups_by_values.values()


def _differs(engine: Engine, value: Any, param: Element) -> bool:
    return isinstance(value, Node) and param in engine.free[value]


def _is_known(value: Any, model: type[Model]) -> bool:
    return value is not None and (not isinstance(value, Model) or isinstance(value, model))


def _references(
    engine: Engine, nodes: list[Node], anchor: Node, param: Element, model: type[Model]
) -> dict[Node, str] | None:
    """Return the name in SQL of each node that differs between the elements; None if a node has no such name."""
    view = engine.ev.policy.view(model)
    names: dict[Node, str] = {}
    for node in nodes:
        if node is param and model._meta.pk.remote_field is None:
            names[node] = "pk"
        elif node is anchor:
            continue
        elif (
            not isinstance(node, Attr)
            or node.parent is not param
            or view is None
            or (node.name not in view.by_attname and node.name != "pk")
            or node.name not in view.usable
        ):
            return None
        else:
            names[node] = node.name
    return names


class _Outer:
    """Statement over the elements; ``names`` has the column names of the nodes that differ between them."""

    def __init__(
        self, engine: Engine, groups: list[Group], shape: Shape, names: dict[Node, str], model: type[Model]
    ) -> None:
        self.engine, self.ev = engine, engine.ev
        self.groups, self.shape, self.names, self.model = groups, shape, names, model
        self.frame = groups[0].lane[1]
        self.elements: list[Any] = [self.frame.elements[group.lane[2]] for group in groups]

    def answers(self, last: Method) -> list[Any]:
        engine = self.engine
        engine.cells.frame, engine.cells.row = self.frame, self.groups[0].lane[2]
        inner = self._inner(last)
        expressions, finish = _EXPRESSIONS[last.name](self.ev, inner, *self._arguments(last, 1))
        engine.ev.position = engine.place[last]
        named = {f"rpc_value{number}": expression for number, expression in enumerate(expressions)}
        rows_by_key: dict[Any, tuple[Any, ...]] = {}
        keys = list(dict.fromkeys(element.pk for element in self.elements))
        elements = self.ev.objects(self.model).order_by().annotate(**named)
        size = room(elements.db)
        for start in range(0, len(keys), size):
            rows = elements.filter(pk__in=keys[start : start + size])
            rows_by_key.update({row[0]: row[1:] for row in rows.values_list("pk", *named)})
        gone = Failure(self.model.DoesNotExist(f"{self.model.__name__} matching query does not exist."), None)
        answers = [rows_by_key.get(element.pk) for element in self.elements]
        return finish([gone if values is None else values for values in answers])

    def _inner(self, last: Method) -> Any:
        """Return the subquery: the client's query, with references to the element in place of the element's values."""
        queryset = self._query(self.shape.anchor, self.shape.steps[:-1], 1)
        query = queryset.query
        if (
            query.is_sliced
            or query.distinct
            or query.combinator
            or query.group_by is not None
            or selects_columns(queryset)
        ):
            raise NoKey("distinct, grouped or sliced rows")
        return queryset.order_by() if last.name not in ("first", "last") else queryset

    def _query(self, anchor: Node, steps: Sequence[Node], level: int) -> Any:
        """Return a query that is nested ``level`` subqueries deep in the query of the elements."""
        from django_rpc.server.evaluate.methods import QUERY_METHODS

        ev = self.ev
        if isinstance(anchor, ModelSource):
            queryset = ev.source(anchor)
        else:
            relation = self.groups[0].relation
            own = isinstance(anchor, Attr) and anchor.parent is self.frame.param
            if not isinstance(relation, Relation) or not own or anchor is not self.shape.anchor:
                raise NoKey("it stands on something else than a relation of the element")
            key = key_of_relation(ev, relation)
            steps = steps[1:] if steps and is_all(steps[0]) else steps
            queryset = knowing_parents(ev.default_objects(relation.model), [group.relation for group in self.groups])
            queryset = with_sticky_filter(queryset).filter(**{key.path: _reference(key.attname, level)})
        for step in steps:
            if not isinstance(step, Method):
                raise NoKey("a slice")
            self.engine.ev.position = self.engine.place[step]
            queryset = QUERY_METHODS[step.name](ev, ev.as_client(queryset), *self._arguments(step, level))
        return queryset

    def _arguments(self, step: Method, level: int) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a step, with references to the element; nested queries are one level deeper."""
        cells, param = self.engine.cells, self.frame.param
        instead: dict[Node, Any] = {node: _reference(name, level) for node, name in self.names.items()}
        for node in self.engine.inputs[step]:
            if node is not step.parent and is_step(node) and param in self.engine.free[node]:
                shape = shape_of(node)
                instead[node] = self._query(shape.anchor, shape.steps, level + 1)
        cells.instead = instead
        try:
            return self.ev.resolve.args(step.args), self.ev.resolve.kwargs(step.kwargs)
        finally:
            cells.instead = {}


def _reference(name: str, level: int) -> Any:
    """Return a reference to a column of the element from a subquery that is nested ``level`` deep."""
    reference: Any = OuterRef(name)
    for _ in range(level - 1):
        reference = OuterRef(reference)
    return reference


def _count(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    number = inner.annotate(rpc_one=Value(1)).values("rpc_one").annotate(rpc_count=Count("*")).values("rpc_count")
    return [Subquery(number)], lambda rows: [row if type(row) is Failure else row[0] or 0 for row in rows]


def _exists(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return [Exists(inner)], lambda rows: [row if type(row) is Failure else bool(row[0]) for row in rows]


def _aggregate(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    aggregates = {expression.default_alias: expression for expression in args} | kwargs
    empty = empty_aggregate(ev.objects(inner.model), args, kwargs)
    grouped = inner.annotate(rpc_one=Value(1)).values("rpc_one")
    values = [Subquery(grouped.annotate(rpc_inner=aggregate).values("rpc_inner")) for aggregate in aggregates.values()]

    def finish(rows: list[Any]) -> list[Any]:
        return [
            row if type(row) is Failure else _filled(empty, dict(zip(aggregates, row, strict=True))) for row in rows
        ]

    return values, finish


def _filled(empty: Callable[[], dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    return {name: empty()[name] if value is None else value for name, value in values.items()}


def _end(reverse: bool) -> Any:
    def end(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if args or kwargs or inner.query.annotations or prefetch_lookups(inner) or inner.query.select_related:
            raise NoKey("what comes with the row would be lost")
        if reverse:
            inner = inner.reverse() if inner.ordered else inner.order_by("-pk")
        elif not inner.ordered:
            inner = inner.order_by("pk")

        def finish(rows: list[Any]) -> list[Any]:
            keys = [row[0] for row in rows if type(row) is not Failure and row[0] is not None]
            queryset = ev.complete(ev.objects(inner.model)).order_by().filter(pk__in=list(dict.fromkeys(keys)))
            set_known_parents(queryset, known_parents(inner))
            loaded = loaded_by(queryset)
            instances = {instance.pk: remember(instance, loaded) for instance in queryset}
            return [row if type(row) is Failure else instances.get(row[0]) for row in rows]

        return [Subquery(inner.values("pk")[:1])], finish

    return end


_EXPRESSIONS: dict[str, Any] = {
    "count": _count,
    "exists": _exists,
    "aggregate": _aggregate,
    "first": _end(False),
    "last": _end(True),
}
if missing := NESTED ^ _EXPRESSIONS.keys():
    raise ImportError(f"graph.shapes and the server differ in {missing}.")
