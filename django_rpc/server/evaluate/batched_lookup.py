"""Many reads of one shape by one statement: it returns the rows of all their values, and the key separates them.

``Order.objects.get(pk=1)``, ``get(pk=2)``, ... become ``filter(pk__in=[1, 2, ...])`` on the client's query.  So the
checks of one read apply to all of them.  The column of the lookup assigns each row to its read.  If this is not
possible, `outer` reads by a subquery of the elements.  If that is not possible either, each read is one statement.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.db.models import F

from django_rpc.graph.nodes import Attr, Item, Method, ModelSource, Node
from django_rpc.graph.plan.query_template import Shape, is_asked, obstacle
from django_rpc.graph.values import Condition
from django_rpc.server.django_compat import with_sticky_filter
from django_rpc.server.evaluate import batched_terminals as asked
from django_rpc.server.evaluate import correlated as outer
from django_rpc.server.evaluate import relation_batch as related
from django_rpc.server.evaluate.environment import Failed, Failure
from django_rpc.server.evaluate.key_columns import Key, NoKey, key_of, room
from django_rpc.server.evaluate.relations import Relation, is_all, knowing_parents
from django_rpc.server.evaluate.value_keys import token

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Engine, Lane

__all__ = ["Group", "read"]

logger = logging.getLogger("django_rpc.server")

_ABSENT: Any = object()


class Group:
    """Lanes with equal reads: ``values`` are the values of the leaves, ``relation`` is the start of the query."""

    __slots__ = ("indexes", "lane", "relation", "values")

    def __init__(self, lane: Lane, values: list[Any], relation: Any) -> None:
        self.lane = lane
        self.values = values
        self.relation = relation
        self.indexes: list[int] = []


def read(engine: Engine, lanes: Sequence[Lane], shapes: Sequence[Shape]) -> list[Any]:
    """Return the value of each lane, or its Failure.  All shapes have the same key."""
    if isinstance(lanes[0][0], Attr) and shapes[0].steps:
        related_values = related.read(engine, lanes)
        return related_values if related_values is not None else [engine.single(*lane) for lane in lanes]
    results: list[Any] = [None] * len(lanes)
    groups = _grouped(engine, lanes, shapes, results)
    for group, value in zip(groups, _answers(engine, groups, shapes[0]), strict=True):
        for index in group.indexes:
            results[index] = value
    return results


def _grouped(engine: Engine, lanes: Sequence[Lane], shapes: Sequence[Shape], results: list[Any]) -> list[Group]:
    """Group the lanes by equal reads; a lane with a failed input gets its failure in ``results`` at once."""
    groups: dict[Hashable, Group] = {}
    constant = all(lane[0] is lanes[0][0] for lane in lanes)
    for index, (lane, shape) in enumerate(zip(lanes, shapes, strict=True)):
        engine.cells.frame, engine.cells.row = lane[1], lane[2]
        try:
            relation = None if isinstance(shape.anchor, ModelSource) else engine.cells[shape.anchor]
            values = [_value(engine, leaf.value, constant) for leaf in shape.leaves]
        except Failed as failed:
            results[index] = failed.failure
            continue
        except Exception as error:  # noqa: BLE001 - the error of a value is the error of this lane
            results[index] = Failure(error, engine.place[lane[0]])
            continue
        asked_for = (token(relation), *[token(value) for value in values])
        group = groups.get(asked_for)
        if group is None:
            group = groups[asked_for] = Group(lane, values, relation)
        group.indexes.append(index)
    return list(groups.values())


def _value(engine: Engine, value: Any, constant: bool) -> Any:
    if isinstance(value, Node):
        return engine.cells[value]
    return _ABSENT if constant else value


def _answers(engine: Engine, groups: list[Group], shape: Shape) -> list[Any]:
    if len(groups) > 1:
        try:
            return _keyed(engine, groups, shape)
        except NoKey as reason:
            logger.debug("Asked one by one, or by a subquery: %s", reason)
        values = outer.read(engine, groups, shape)
        if values is not None:
            return [
                _alone(engine, group) if value is outer.ALONE else value
                for group, value in zip(groups, values, strict=True)
            ]
    return [_alone(engine, group) for group in groups]


def _alone(engine: Engine, group: Group) -> Any:
    node, frame, row = group.lane
    return engine.single(node, frame, row) if is_asked(node) else asked.as_list(engine, *group.lane)


def _keyed(engine: Engine, groups: list[Group], shape: Shape) -> list[Any]:
    """Return the values of the groups; raises NoKey if the rows of the groups cannot be separated by a key."""
    varying = [
        position
        for position in range(len(shape.leaves))
        if len({token(group.values[position]) for group in groups}) > 1
    ]
    if shape.steps:
        reason = obstacle(shape, varying)
        if reason is not None:
            raise NoKey(reason)
    builder = _Builder(engine, groups, shape, varying)
    keys = [builder.key(group) for group in groups]
    answers: list[Any] = [_ABSENT] * len(groups)
    for start in _chunks(builder, keys):
        members = [index for index in start if keys[index] is not None]
        wanted = {index: keys[index] for index in members}
        if members:
            found = _attempt(engine, builder, [wanted[index] for index in members], groups[members[0]])
            for index in members if found is not None else ():
                answers[index] = found(wanted[index], groups[index])
    for index, group in enumerate(groups):
        if answers[index] is _ABSENT:
            answers[index] = _alone(engine, group)
    return answers


def _attempt(engine: Engine, builder: _Builder, keys: list[Any], group: Group) -> Any:
    """Return a function from key to value; None if the common statement failed, so that each read gets its error."""
    try:
        return builder.answers(keys, group)
    except NoKey:
        raise
    except Exception as error:  # in a transaction, no statement can run after an error of the database
        if engine.ev.writes or (engine.ev.in_transaction and isinstance(error, DatabaseError)):
            raise
        return None


def _chunks(builder: _Builder, keys: list[Any]) -> list[range]:
    size = max(1, room(builder.using) // max(1, builder.width))
    return [range(start, min(start + size, len(keys))) for start in range(0, len(keys), size)]


class _Builder:
    """Builds the common query of all groups, and reads it."""

    def __init__(self, engine: Engine, groups: list[Group], shape: Shape, varying: list[int]) -> None:
        self.engine, self.ev, self.shape = engine, engine.ev, shape
        self.relations = [group.relation for group in groups]
        self.relation = self.relations[0]
        if self.relation is not None and not isinstance(self.relation, Relation):
            raise NoKey("it stands on something that is no relation")
        if any(type(group.relation) is not type(self.relation) for group in groups):
            raise NoKey("some stand on something that is no relation")
        if self.relation is not None and any(group.relation.field is not self.relation.field for group in groups):
            raise NoKey("they are different relations")
        self.model = self.relation.model if self.relation is not None else self.ev.policy.model(shape.anchor.model)  # type: ignore[attr-defined]
        self.varying = varying
        self.leaf = all(group.lane[1] is engine.root and group.lane[0] not in engine.used for group in groups)
        self.keys: list[Key] = []
        if self.relation is not None:
            self.keys.append(related.key_of_relation(self.ev, self.relation))
        for position in varying:
            leaf = shape.leaves[position]
            self.keys.append(key_of(self.ev, self.model, leaf.lookup or ""))
        if not self.keys:
            raise NoKey("nothing tells them apart")
        self.width = len(self.keys)
        self.using = self.ev.objects(self.model).db

    def key(self, group: Group) -> tuple[Any, ...] | None:
        """Return the key of the rows of a group; None if the group has to be read separately."""
        values = [] if self.relation is None else [group.relation.instance]
        values += [group.values[position] for position in self.varying]
        parts = [key.of(self.ev, value) for key, value in zip(self.keys, values, strict=True)]
        return None if any(value is None for value in parts) else tuple(parts)

    def answers(self, keys: list[tuple[Any, ...]], group: Group) -> Any:
        node, frame, row = group.lane
        engine = self.engine
        engine.cells.frame, engine.cells.row = frame, row
        queryset, names = self._base(), []
        columns = [list(dict.fromkeys(values)) for values in zip(*keys, strict=True)]
        pending = dict(zip(self.varying, self.keys[self.width - len(self.varying) :], strict=True))
        if self.relation is not None:
            queryset = self.keys[0].narrowed(with_sticky_filter(queryset), columns[0])
            queryset, name = self._named(queryset, self.keys[0], 0)
            queryset.query.filter_is_sticky = True  # the client's next filter applies to the same related rows
            names.append(name)
        steps = list(self.shape.steps)
        last = steps[-1] if steps and is_asked(steps[-1]) else None
        for position, step in enumerate(steps):
            here = {leaf: key for leaf, key in pending.items() if self.shape.leaves[leaf].step == position}
            if not (self.relation is not None and position == 0 and is_all(step)):
                queryset = self._step(queryset, step, set(here), step is last)
            for leaf, key in here.items():
                number = self.varying.index(leaf) + self.width - len(self.varying)
                queryset = key.narrowed(queryset, columns[number])
                queryset, name = self._named(queryset, key, number)
                names.append(name)
        engine.ev.position = engine.place[node]
        return asked.ask(engine, queryset, tuple(names), last, self.keys, leaf=self.leaf)

    def _base(self) -> Any:
        anchor = self.shape.anchor
        if isinstance(anchor, ModelSource):
            return self.ev.source(anchor)
        return knowing_parents(self.ev.default_objects(self.model), self.relations)

    def _named(self, queryset: Any, key: Key, number: int) -> tuple[Any, str]:
        if key.column is not None:
            return queryset, key.column
        name = f"rpc_key{number}"
        return queryset.annotate(**{name: F(key.path)}), name

    def _step(self, queryset: Any, step: Node, taken: set[int], is_last: bool) -> Any:
        """Apply one step of the client's query, without the lookups that differ between the groups."""
        engine = self.engine
        if queryset.query.is_sliced and not is_last:
            raise NoKey("a step after a slice")
        engine.ev.position = engine.place.get(step, engine.ev.position)
        if isinstance(step, Item) and not is_last:
            return queryset[self.ev.resolve(step.key)]
        if not isinstance(step, Method):
            return queryset
        lookups = {self.shape.leaves[leaf].lookup for leaf in taken}
        name = step.name
        if is_last:
            if name != "get":
                return queryset
            name = "filter"
            if queryset.query.is_sliced and (step.args or step.kwargs):
                raise NoKey("get() of a slice")
        args = [_without(value, lookups) for value in step.args]
        kwargs = {key: value for key, value in step.kwargs.items() if key not in lookups}
        if taken and name in ("filter", "filter_reuse") and not any(args) and not kwargs:
            return queryset  # the step consists of the lookups that the caller adds
        from django_rpc.server.evaluate.methods import QUERY_METHODS

        given, named = self.ev.resolve.args(tuple(args)), self.ev.resolve.kwargs(kwargs)
        return QUERY_METHODS[name](self.ev, self.ev.as_client(queryset), given, named)


def _without(value: Any, lookups: set[Any]) -> Any:
    """Return a condition without the pairs of these lookups; they occur only in conjunctions."""
    if not isinstance(value, Condition) or value.connector != "AND" or value.negated or not lookups:
        return value
    children = [
        _without(child, lookups) if isinstance(child, Condition) else child
        for child in value.children
        if not (isinstance(child, tuple) and child[0] in lookups)
    ]
    return Condition(tuple(child for child in children if not (isinstance(child, Condition) and not child.children)))
