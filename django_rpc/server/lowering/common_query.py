"""Common query of many reads: the client's query, with the keys of all reads in place of the lookups that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F

from django_rpc.graph.nodes import Item, Method, ModelSource, Node
from django_rpc.graph.values import Condition
from django_rpc.server.django_compat import with_sticky_filter
from django_rpc.server.evaluate.methods import QUERY_METHODS
from django_rpc.server.evaluate.relations import Relation, is_all, knowing_parents
from django_rpc.server.lowering.key_columns import KeyColumn, lookup_key, relation_key
from django_rpc.server.lowering.keyed_query import KeyedQuery, Reader, ValueOfKey
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, NotPossible
from django_rpc.server.lowering.query_template import makes_query

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["CommonQuery"]


class CommonQuery:
    """The query for the keys of all reads; raises NotPossible if no key separates the rows of the reads."""

    def __init__(self, engine: Scheduler, read: LogicalRead, reader: Reader) -> None:
        self.engine, self.ev = engine, engine.ev
        self.template, self.differing, self.reader = read.template, read.differing, reader
        self.relations = [equal.relation for equal in read.reads]
        self.relation = self.relations[0]
        if self.relation is not None and not isinstance(self.relation, Relation):
            raise NotPossible("its base is no relation")
        if any(type(relation) is not type(self.relation) for relation in self.relations):
            raise NotPossible("some bases are no relations")
        if self.relation is not None and any(relation.field is not self.relation.field for relation in self.relations):
            raise NotPossible("the bases are different relations")
        self.model = (
            self.ev.policy.model(self.template.base.model)  # type: ignore[attr-defined]  # the kind of the node has it
            if self.relation is None
            else self.relation.model
        )
        root = engine.root
        self.leaf = all(equal.binding[1] is root and equal.binding[0] not in engine.used for equal in read.reads)
        self.keys: list[KeyColumn] = [] if self.relation is None else [relation_key(self.relation)]
        for position in self.differing:
            self.keys.append(lookup_key(self.ev, self.model, self.template.parameters[position].lookup or ""))
        if not self.keys:
            raise NotPossible("no lookup differs")
        self.width = len(self.keys)
        self.using = self.ev.objects(self.model).db

    def key(self, equal: EqualReads) -> tuple[Any, ...] | None:
        """Return the key of the rows of equal reads; None if they need a separate statement."""
        values = [] if self.relation is None else [equal.relation.instance]
        values += [equal.values[position] for position in self.differing]
        parts = [key.of(self.ev, value) for key, value in zip(self.keys, values, strict=True)]
        return None if any(part is None for part in parts) else tuple(parts)

    def read(self, keys: list[tuple[Any, ...]], first: EqualReads) -> ValueOfKey:
        """Read the values of these keys in one statement; ``first`` are the reads that the query is built for."""
        node, environment, row = first.binding
        self.engine.visible.environment, self.engine.visible.row = environment, row
        queryset, names = self._base(), []
        columns = [list(dict.fromkeys(values)) for values in zip(*keys, strict=True)]
        numbers = {position: self.width - len(self.differing) + n for n, position in enumerate(self.differing)}
        if self.relation is not None:
            queryset = self.keys[0].narrowed(with_sticky_filter(queryset), columns[0])
            queryset, name = self._named(queryset, 0)
            queryset.query.filter_is_sticky = True  # the client's next filter applies to the same related rows
            names.append(name)
        operations = self.template.operations
        terminal = operations[-1] if operations and not makes_query(operations[-1]) else None
        for place, operation in enumerate(operations):
            differing = [at for at in self.differing if self.template.parameters[at].operation == place]
            if not (self.relation is not None and place == 0 and is_all(operation)):
                lookups = {self.template.parameters[position].lookup for position in differing}
                queryset = self._apply(queryset, operation, lookups, operation is terminal)
            for position in differing:
                queryset = self.keys[numbers[position]].narrowed(queryset, columns[numbers[position]])
                queryset, name = self._named(queryset, numbers[position])
                names.append(name)
        self.engine.ev.position = self.engine.place[node]
        leaf = self.leaf and terminal is not None
        return self.reader(KeyedQuery(self.engine, queryset, tuple(names), terminal, self.keys, leaf))

    def _base(self) -> Any:
        base = self.template.base
        if isinstance(base, ModelSource):
            return self.ev.source(base)
        return knowing_parents(self.ev.default_objects(self.model), self.relations)

    def _named(self, queryset: Any, number: int) -> tuple[Any, str]:
        """Return the query with key ``number`` as a column, and the name of the column."""
        key = self.keys[number]
        if key.column is not None:
            return queryset, key.column
        name = f"rpc_key{number}"
        return queryset.annotate(**{name: F(key.path)}), name

    def _apply(self, queryset: Any, operation: Node, lookups: set[str | None], is_terminal: bool) -> Any:
        """Apply an operation of the client's query, without ``lookups``, which differ between the reads."""
        if queryset.query.is_sliced and not is_terminal:
            raise NotPossible("an operation after a slice")
        self.ev.position = self.engine.place.get(operation, self.ev.position)
        if isinstance(operation, Item) and not is_terminal:
            return queryset[self.ev.resolve(operation.key)]
        if not isinstance(operation, Method):
            return queryset
        name = operation.name
        if is_terminal:
            if name != "get":
                return queryset
            name = "filter"
            if queryset.query.is_sliced and (operation.args or operation.kwargs):
                raise NotPossible("get() of a slice")
        args = tuple([_without(value, lookups) for value in operation.args])
        kwargs = {key: value for key, value in operation.kwargs.items() if key not in lookups}
        if lookups and name in ("filter", "filter_reuse") and not any(args) and not kwargs:
            return queryset  # the operation consists of the lookups that the caller adds
        resolve = self.ev.resolve
        return QUERY_METHODS[name](self.ev, self.ev.as_client(queryset), resolve.args(args), resolve.kwargs(kwargs))


def _without(value: Any, lookups: set[str | None]) -> Any:
    """Return a condition without the pairs of these lookups; they occur only in conjunctions."""
    if not isinstance(value, Condition) or value.connector != "AND" or value.negated or not lookups:
        return value
    children = [
        _without(child, lookups) if isinstance(child, Condition) else child
        for child in value.children
        if not (isinstance(child, tuple) and child[0] in lookups)
    ]
    return Condition(tuple(child for child in children if not (isinstance(child, Condition) and not child.children)))
