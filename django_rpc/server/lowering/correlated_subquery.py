"""Physical read ``correlated subquery``: reads for each element of a query, as subqueries over these elements.

A value that a lambda takes from its element (``row.credit``) becomes an ``OuterRef``, in any lookup. So
``customers.map(lambda c: c.orders.filter(total__gt=c.credit).count())`` is one statement after that of the customers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import Error as DatabaseError
from django.db.models import Count, Exists, Model, OuterRef, Subquery, Value

from django_rpc.graph.nodes import Attr, Element, Method, ModelSource, Node
from django_rpc.server.django_compat import (
    known_parents,
    prefetch_lookups,
    selects_columns,
    set_known_parents,
    with_sticky_filter,
)
from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.methods import QUERY_METHODS
from django_rpc.server.evaluate.relations import Relation, is_all, knowing_parents
from django_rpc.server.lowering.grouped_aggregate import empty_aggregate
from django_rpc.server.lowering.key_columns import max_values, relation_key
from django_rpc.server.lowering.loop import read_separately
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, NotPossible
from django_rpc.server.lowering.query_template import QueryTemplate, combining_method, makes_query, template_of
from django_rpc.server.lowering.value_keys import token
from django_rpc.server.query.loaded_relations import loaded_by, remember

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["CorrelatedSubquery"]


class CorrelatedSubquery:
    """One statement over the elements, with a subquery for the read."""

    name: ClassVar[str] = "correlated subquery"

    def matches(self, read: LogicalRead) -> bool:
        return isinstance(read.terminal, Method) and read.terminal.name in _EXPRESSIONS

    def check(self, engine: Scheduler, read: LogicalRead) -> None:
        if engine.ev.writes:
            raise NotPossible("the request writes")
        if read.element is None:
            raise NotPossible("it is not for each element of a map")

    def describe(self, engine: Scheduler, read: LogicalRead) -> str:
        self.check(engine, read)
        combining = combining_method(read.template)
        if combining is not None:
            raise NotPossible(f".{combining}() combines rows")
        element: Any = read.element
        if len(engine.free[read.node]) != 1:
            raise NotPossible("it depends on the elements of several maps")
        nodes = [p.value for p in read.template.parameters if _depends(engine, p.value, element)]
        _column_names(engine, nodes, read.template.base, element, read.element_model)
        return "one statement over the elements"

    def run(self, engine: Scheduler, read: LogicalRead) -> list[Any]:
        environment = read.reads[0].binding[1]
        if any(equal.binding[0] is not read.node for equal in read.reads):
            raise NotPossible("it is several reads")
        models = {type(environment.elements[equal.binding[2]]) for equal in read.reads}
        if len(models) != 1 or not issubclass(model := models.pop(), Model):
            raise NotPossible("the elements are no instances of one model")
        template = read.template
        element: Any = environment.param
        positions = [
            at for at, parameter in enumerate(template.parameters) if _depends(engine, parameter.value, element)
        ]
        nodes = [template.parameters[position].value for position in positions]
        names = _column_names(engine, nodes, template.base, element, model)
        # A comparison with Python's None is an error or differs from SQL, where null is not equal to itself.
        comparable = [equal for equal in read.reads if all(_is_comparable(equal.values[at], model) for at in positions)]
        values: dict[int, Any] = {}
        for reads in _of_one_statement(comparable, positions):
            try:
                statement = _Statement(engine, reads, template, names, model)
                values.update(zip(map(id, reads), statement.values(read.terminal), strict=True))
            except NotPossible:
                raise
            except Exception as error:
                if engine.ev.in_transaction and isinstance(error, DatabaseError):
                    raise
                raise NotPossible("its statement failed") from error
        return [
            values[id(equal)] if id(equal) in values else read_separately(engine, read, equal) for equal in read.reads
        ]


def _of_one_statement(reads: list[EqualReads], positions: list[int]) -> Iterable[list[EqualReads]]:
    """Group the reads that differ only in the values at ``positions``; others belong to elements of outer maps."""
    reads_by_values: dict[Hashable, list[EqualReads]] = {}
    for equal in reads:
        rest = [token(value) for position, value in enumerate(equal.values) if position not in positions]
        reads_by_values.setdefault(tuple(rest), []).append(equal)
    return reads_by_values.values()


def _depends(engine: Scheduler, value: Any, element: Element) -> bool:
    return isinstance(value, Node) and element in engine.free[value]


def _is_comparable(value: Any, model: type[Model]) -> bool:
    return value is not None and (not isinstance(value, Model) or isinstance(value, model))


def _column_names(
    engine: Scheduler, nodes: list[Node], base: Node, element: Element, model: type[Model] | None
) -> dict[Node, str]:
    """Return the column of the element for each node that differs between the elements.

    Raises NotPossible for a node that is no column. If the model of the elements is not known, every attribute of the
    element is taken for a column.
    """
    names: dict[Node, str] = {}
    for node in nodes:
        if node is base:
            continue
        name = _column_name(engine, node, element, model)
        if name is None:
            raise NotPossible("it uses a value of the element that is no column")
        names[node] = name
    return names


def _column_name(engine: Scheduler, node: Node, element: Element, model: type[Model] | None) -> str | None:
    if node is element:
        return "pk" if model is None or model._meta.pk.remote_field is None else None
    if not isinstance(node, Attr) or node.parent is not element:
        return None
    if model is None:
        return node.name
    view = engine.ev.policy.view(model)
    if view is None or (node.name not in view.by_attname and node.name != "pk") or node.name not in view.usable:
        return None
    return node.name


class _Statement:
    """Statement over the elements; ``names`` has the column names of the nodes that differ between them."""

    def __init__(
        self,
        engine: Scheduler,
        reads: list[EqualReads],
        template: QueryTemplate,
        names: dict[Node, str],
        model: type[Model],
    ) -> None:
        self.engine, self.ev = engine, engine.ev
        self.reads, self.template, self.names, self.model = reads, template, names, model
        self.environment = reads[0].binding[1]
        self.elements: list[Any] = [self.environment.elements[equal.binding[2]] for equal in reads]

    def values(self, last: Any) -> list[Any]:
        engine = self.engine
        engine.visible.environment, engine.visible.row = self.environment, self.reads[0].binding[2]
        inner = self._inner(last)
        expressions, finish = _EXPRESSIONS[last.name](self.ev, inner, *self._arguments(last, 1))
        engine.ev.position = engine.place[last]
        named = {f"rpc_value{number}": expression for number, expression in enumerate(expressions)}
        rows_by_key: dict[Any, tuple[Any, ...]] = {}
        keys = list(dict.fromkeys(element.pk for element in self.elements))
        elements = self.ev.objects(self.model).order_by().annotate(**named)
        size = max_values(elements.db)
        for start in range(0, len(keys), size):
            rows = elements.filter(pk__in=keys[start : start + size])
            rows_by_key.update({row[0]: row[1:] for row in rows.values_list("pk", *named)})
        gone = Failure(self.model.DoesNotExist(f"{self.model.__name__} matching query does not exist."), None)
        values = [rows_by_key.get(element.pk) for element in self.elements]
        return finish([gone if row is None else row for row in values])

    def _inner(self, last: Method) -> Any:
        """Return the subquery: the client's query, with references to the element in place of the element's values."""
        queryset = self._query(self.template.base, self.template.operations[:-1], 1)
        query = queryset.query
        if (
            query.is_sliced
            or query.distinct
            or query.combinator
            or query.group_by is not None
            or selects_columns(queryset)
        ):
            raise NotPossible("distinct, grouped or sliced rows")
        return queryset.order_by() if last.name not in ("first", "last") else queryset

    def _query(self, base: Node, operations: Sequence[Node], level: int) -> Any:
        """Return a query that is nested ``level`` subqueries deep in the query of the elements."""
        ev = self.ev
        if isinstance(base, ModelSource):
            queryset = ev.source(base)
        else:
            relation = self.reads[0].relation
            is_of_element = isinstance(base, Attr) and base.parent is self.environment.param
            if not isinstance(relation, Relation) or not is_of_element or base is not self.template.base:
                raise NotPossible("its base is no relation of the element")
            key = relation_key(relation)
            operations = operations[1:] if operations and is_all(operations[0]) else operations
            queryset = knowing_parents(ev.default_objects(relation.model), [equal.relation for equal in self.reads])
            queryset = with_sticky_filter(queryset).filter(**{key.path: _reference(key.attname, level)})
        for operation in operations:
            if not isinstance(operation, Method):
                raise NotPossible("a slice")
            self.engine.ev.position = self.engine.place[operation]
            queryset = QUERY_METHODS[operation.name](ev, ev.as_client(queryset), *self._arguments(operation, level))
        return queryset

    def _arguments(self, operation: Method, level: int) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of an operation, with references to the element; nested queries are one level deeper."""
        visible, param = self.engine.visible, self.environment.param
        instead: dict[Node, Any] = {node: _reference(name, level) for node, name in self.names.items()}
        for node in self.engine.inputs[operation]:
            if node is not operation.parent and makes_query(node) and param in self.engine.free[node]:
                inner = template_of(node)
                instead[node] = self._query(inner.base, inner.operations, level + 1)
        visible.instead = instead
        try:
            return self.ev.resolve.args(operation.args), self.ev.resolve.kwargs(operation.kwargs)
        finally:
            visible.instead = {}


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
            raise NotPossible("annotations and related rows of the row would be lost")
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
