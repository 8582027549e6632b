"""Reads for each element of a query, as subqueries of one statement over these elements.

What a lambda takes from its element (``row.credit``) becomes an ``OuterRef``, whatever lookup it stands in; so
``customers.map(lambda c: c.orders.filter(total__gt=c.credit).count())`` is one statement beside that of the customers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Count, Exists, Model, OuterRef, Subquery, Value

from django_rpc.graph.elements import Param
from django_rpc.graph.node import Attr, Method, Node, Source
from django_rpc.graph.shapes import Shape, is_step
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.frames import Failure
from django_rpc.server.evaluate.keys import NoKey
from django_rpc.server.evaluate.related import key_of_relation
from django_rpc.server.evaluate.relations import Relation

if TYPE_CHECKING:
    from django_rpc.server.evaluate.batches import Group
    from django_rpc.server.evaluate.engine import Engine

__all__ = ["read"]

_CHUNK = 500


def read(engine: Engine, groups: list[Group], shape: Shape) -> list[Any] | None:
    """The values of the groups, or None where they are not about the elements of one query."""
    node, frame, _ = groups[0].lane
    last = shape.steps[-1] if shape.steps else None
    if engine.ev.writes or frame.param is None or not isinstance(last, Method) or last.name not in _EXPRESSIONS:
        return None
    if any(group.lane[0] is not node for group in groups):
        return None
    elements = [frame.elements[group.lane[2]] for group in groups]
    models = {type(element) for element in elements}
    if len(models) != 1 or not issubclass(model := models.pop(), Model):
        return None
    try:
        references = _references(engine, shape, groups, frame.param, model)
        if references is None:
            return None
        return _Outer(engine, groups, shape, references, model, elements).answers(last)
    except NoKey:
        return None
    except Exception:  # each gets its own error, when it is asked by itself
        if engine.ev.writes:
            raise
        return None


def _references(
    engine: Engine, shape: Shape, groups: list[Group], param: Param, model: type[Model]
) -> dict[Node, Any] | None:
    """What stands for each node that differs between the elements; None where SQL has no word for one."""
    view = engine.ev.policy.view(model)
    found: dict[Node, Any] = {}
    for position, leaf in enumerate(shape.leaves):
        node = leaf.value
        if not isinstance(node, Node) or param not in engine.free[node]:
            continue
        if node is param:
            found[node] = OuterRef("pk")
        elif isinstance(node, Attr) and node.parent is param and node is not shape.anchor:
            if view is None or (node.name not in view.by_attname and node.name != "pk"):
                return None
            found[node] = OuterRef(node.name)
        elif node is not shape.anchor:
            return None
        if node is param and not _is_key(groups, position, model):
            return None
    return found


def _is_key(groups: list[Group], position: int, model: type[Model]) -> bool:
    return all(isinstance(group.values[position], model) for group in groups) and model._meta.pk.remote_field is None


class _Outer:
    def __init__(
        self,
        engine: Engine,
        groups: list[Group],
        shape: Shape,
        references: dict[Node, Any],
        model: type[Model],
        elements: list[Any],
    ) -> None:
        self.engine, self.ev = engine, engine.ev
        self.groups, self.shape, self.references = groups, shape, references
        self.model, self.elements = model, elements

    def answers(self, last: Method) -> list[Any]:
        engine = self.engine
        engine.cells.frame, engine.cells.row = self.groups[0].lane[1], self.groups[0].lane[2]
        engine.cells.instead = self.references
        try:
            inner = self._inner(last)
            expressions, finish = _EXPRESSIONS[last.name](
                self.ev, inner, self.ev.resolve.args(last.args), self.ev.resolve.kwargs(last.kwargs)
            )
        finally:
            engine.cells.instead = {}
        engine.ev.position = engine.place[last]
        named = {f"rpc_value{number}": expression for number, expression in enumerate(expressions)}
        found: dict[Any, tuple[Any, ...]] = {}
        keys = list(dict.fromkeys(element.pk for element in self.elements))
        for start in range(0, len(keys), _CHUNK):
            rows = self.ev.objects(self.model).order_by().filter(pk__in=keys[start : start + _CHUNK]).annotate(**named)
            found.update({row[0]: row[1:] for row in rows.values_list("pk", *named)})
        gone = Failure(self.model.DoesNotExist(f"{self.model.__name__} matching query does not exist."), None)
        answers = [found.get(element.pk) for element in self.elements]
        return finish([gone if values is None else values for values in answers])

    def _inner(self, last: Method) -> Any:
        from django_rpc.server.evaluate.methods import QUERY_METHODS

        shape, ev = self.shape, self.ev
        if isinstance(shape.anchor, Source):
            queryset = ev.objects(ev.policy.model(shape.anchor.model))
        else:
            relation = self.groups[0].relation
            if not isinstance(relation, Relation) or not self._is_of_element(shape.anchor):
                raise NoKey("it stands on something else than a relation of the element")
            key = key_of_relation(ev, relation)
            queryset = ev.objects(relation.model)._next_is_sticky().filter(**{key.path: OuterRef(key.attname)})
        for step in shape.steps[:-1]:
            if not isinstance(step, Method):
                raise NoKey("a slice")
            self.engine.ev.position = self.engine.place[step]
            queryset = QUERY_METHODS[step.name](
                ev, ev.as_client(queryset), ev.resolve.args(step.args), ev.resolve.kwargs(step.kwargs)
            )
        query = queryset.query
        if query.is_sliced or query.distinct or query.combinator or query.group_by is not None or queryset._fields:
            raise NoKey("distinct, grouped or sliced rows")
        return queryset.order_by() if last.name not in ("first", "last") else queryset

    def _is_of_element(self, anchor: Node) -> bool:
        frame = self.groups[0].lane[1]
        return isinstance(anchor, Attr) and anchor.parent is frame.param and not is_step(anchor)


def _count(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    number = inner.annotate(rpc_one=Value(1)).values("rpc_one").annotate(rpc_count=Count("*")).values("rpc_count")
    return [Subquery(number)], lambda rows: [row if type(row) is Failure else row[0] or 0 for row in rows]


def _exists(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return [Exists(inner)], lambda rows: [row if type(row) is Failure else bool(row[0]) for row in rows]


def _aggregate(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    given = {expression.default_alias: expression for expression in args} | kwargs
    empty = ev.objects(inner.model).none().aggregate(*args, **kwargs)
    grouped = inner.annotate(rpc_one=Value(1)).values("rpc_one")
    values = [Subquery(grouped.annotate(rpc_inner=one).values("rpc_inner")) for one in given.values()]

    def finish(rows: list[Any]) -> list[Any]:
        return [row if type(row) is Failure else _filled(empty, dict(zip(given, row, strict=True))) for row in rows]

    return values, finish


def _filled(empty: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {name: empty[name] if value is None else value for name, value in values.items()}


def _end(reverse: bool) -> Any:
    def end(ev: Evaluator, inner: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if args or kwargs or inner.query.annotations or inner._prefetch_related_lookups or inner.query.select_related:
            raise NoKey("what comes with the row would be lost")
        if reverse:
            inner = inner.reverse() if inner.ordered else inner.order_by("-pk")
        elif not inner.ordered:
            inner = inner.order_by("pk")

        def finish(rows: list[Any]) -> list[Any]:
            keys = [row[0] for row in rows if type(row) is not Failure and row[0] is not None]
            queryset = ev.complete(ev.objects(inner.model)).order_by().filter(pk__in=list(dict.fromkeys(keys)))
            found = {instance.pk: instance for instance in queryset}
            return [row if type(row) is Failure else found.get(row[0]) for row in rows]

        return [Subquery(inner.values("pk")[:1])], finish

    return end


_EXPRESSIONS: dict[str, Any] = {
    "count": _count,
    "exists": _exists,
    "aggregate": _aggregate,
    "first": _end(False),
    "last": _end(True),
}
