"""Evaluation of a graph by columns: one node for all elements of a map, and all reads of one query template, together.

Reads that can share a statement are done by `lowering`. All other nodes are evaluated separately by the visitors.
Queries are not evaluated by themselves; the node that reads a query builds it, once for all elements or once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import Error as DatabaseError
from django.db.models import QuerySet

from django_rpc.errors import BadValue, LimitExceeded, TooManyNodes
from django_rpc.graph.nodes import Attr, Element, Filter, IfElse, Literal, Map, Node, Operator
from django_rpc.graph.nodes.collections import MAX_DEPTH, Scope, free_params
from django_rpc.server.evaluate.environment import (
    Binding,
    Environment,
    Failed,
    Failure,
    VisibleValues,
    owner_environment,
)
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.lowering.loop import as_list, rows_of
from django_rpc.server.lowering.query_template import (
    QueryTemplate,
    is_terminal,
    makes_query,
    relation_template,
    template_of,
)
from django_rpc.server.lowering.rules import read_together

__all__ = ["Scheduler", "is_read"]


class Scheduler:
    """One evaluation: ``visitors`` evaluate a node for one row, ``special`` for many rows of an environment."""

    def __init__(
        self,
        ev: Evaluator,
        visitors: dict[type[Node], Callable[[Evaluator, Any], Any]],
        special: dict[type[Node], Callable[[Scheduler, Any, Environment, list[int]], list[Any]]],
    ) -> None:
        self.ev = ev
        self.visitors = visitors
        self.special = special
        self.nodes = ev.request.nodes
        self.place = {node: position for position, node in enumerate(self.nodes)}
        self.inputs = {node: node.inputs() for node in self.nodes}
        self.free = free_params(self.nodes, self.inputs)
        self.used = {source for inputs in self.inputs.values() for source in inputs}
        self.root = ev.noted(Environment())
        self.limits = ev.policy.budget.limits
        self.elements = 0
        self.steps = 0
        self._recipes: dict[tuple[Node, Element | None], list[Node]] = {}
        self._templates: dict[Node, QueryTemplate] = {}
        self._writing: dict[Node, bool] = {}
        self.visible = VisibleValues(self.free, self.root, self._missing)
        ev.values = self.visible  # type: ignore[assignment]  # a mapping is enough here
        ev.resolve.values = self.visible  # type: ignore[assignment]  # a mapping is enough here

    # Nodes to evaluate

    def run(self) -> None:
        """Evaluate all nodes that depend on no element; raises WireError for a graph that no correct client sends."""
        ends = [node for node in self.nodes if node not in self.used]
        ends += [self.nodes[position] for position in self.ev.request.outputs]
        for node in ends:
            if self.free[node]:
                raise BadValue("An output depends on a param, which has a value only within its map.")
        self._check_scopes()
        self._run(self._whole(ends), self.root, [0])

    def _check_scopes(self) -> None:
        for node in self.nodes:
            if len(self.free[node]) > MAX_DEPTH:
                raise TooManyNodes(f"Maps are nested at most {MAX_DEPTH} deep.", node=self.place[node])
            if isinstance(node, Map) and node.errors and self.writes_within(node):
                raise BadValue(
                    "A map that writes is done as a whole or not at all: it cannot go on after an element that fails.",
                    node=self.place[node],
                )

    def _whole(self, ends: Iterable[Node]) -> list[Node]:
        """Return the nodes below ``ends`` that depend on no element, without branches of a cond; these run first."""
        seen: set[Node] = set(ends)
        stack = list(seen)
        while stack:
            node = stack.pop()
            for source in node.certain_inputs():
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
        return sorted((node for node in seen if not self.free[node]), key=self.place.__getitem__)

    def recipe(self, node: Node, environment: Environment) -> list[Node]:
        """Return ``node`` and the nodes that it always needs, inputs first, if they belong to ``environment``."""
        key = (node, environment.param)
        nodes = self._recipes.get(key)
        if nodes is None:
            seen, stack = {node}, [node]
            while stack:
                for source in self._needed(stack.pop()):
                    if source not in seen and self._is_here(source, environment):
                        seen.add(source)
                        stack.append(source)
            self.count(len(seen))
            nodes = self._recipes[key] = sorted(seen, key=self.place.__getitem__)
        return nodes

    def _is_here(self, node: Node, environment: Environment) -> bool:
        if node.is_element:
            return False
        return environment.param in self.free[node] if environment.param is not None else not self.free[node]

    def _needed(self, node: Node) -> Iterable[Node]:
        return (node.parent,) if isinstance(node, Scope) else node.certain_inputs()

    def pull(self, node: Node, environment: Environment, rows: Sequence[int]) -> list[Any]:
        """Return the values of ``node`` for these rows as data; the value of a query is its rows.

        A value is a Failure if the evaluation of the node failed for the row. Missing values are evaluated for all
        rows at once.
        """
        there, lead = owner_environment(environment, self.free[node])
        owner_rows = list(rows)
        if lead is not None:
            owner_rows = lead(owner_rows)
        if node.is_element:
            column = dict(enumerate(there.elements))
        else:
            column = self._column(node, there, list(dict.fromkeys(owner_rows)))
        lists = there.lists.get(node, {})
        if environment is not self.root and there is self.root and isinstance(lists.get(0), QuerySet):
            lists[0] = rows_of(self, lists[0], self.place[node])  # read once for all elements
        return [lists[row] if row in lists else column[row] for row in owner_rows]

    def _column(self, node: Node, there: Environment, rows: list[int]) -> dict[int, Any]:
        """Return the values of a node in the environment that it belongs to, evaluated for all ``rows``."""
        query = makes_query(node)
        column = (there.lists if query else there.columns).setdefault(node, {})
        todo = [row for row in rows if row not in column]
        if todo and self.writes_within(node):
            for row in todo:  # one element after the other, as in a loop
                self._run(self.recipe(node, there), there, [row])
        elif todo:
            self._run(self.recipe(node, there), there, todo)
        if not query:
            lists = there.lists.get(node, {})
            todo = [row for row in rows if isinstance(column[row], Relation) and row not in lists]
        if todo and (query or isinstance(column[todo[0]], Relation)):
            self.read_queries([(node, there, row) for row in todo])
        return column

    def value(self, node: Node, environment: Environment, row: int) -> Any:
        """Return the value of ``node`` for one row, a query as a query; a Failure if it failed."""
        self.visible.environment, self.visible.row = environment, row
        try:
            return self.visible[node]
        except Failed as failed:
            return failed.failure

    def count(self, steps: int) -> None:
        """Count evaluated nodes; raises TooManyNodes above the limit."""
        self.steps += steps
        self.ev.policy.budget.check()
        if self.steps > self.limits.steps:
            raise TooManyNodes(
                f"The maps of the request take more than {self.limits.steps:,} steps (limit 'steps'). Filter the "
                "query that they go over, or ask for it in parts."
            )

    def count_elements(self, number: int) -> None:
        """Count elements; raises TooManyNodes above the limit."""
        self.elements += number
        if self.elements > self.limits.elements:
            raise TooManyNodes(
                f"The maps of the request go over more than {self.limits.elements:,} elements (limit 'elements'; maps "
                "within each other multiply). Filter the query that they go over, or ask for it in parts."
            )

    @property
    def elements_left(self) -> int:
        return self.limits.elements - self.elements

    # Order of evaluation

    def _run(self, recipe: list[Node], environment: Environment, rows: list[int]) -> None:
        """Evaluate ``recipe`` for ``rows``; nodes between two writes by levels, nodes of a template together."""
        segment: list[Node] = []
        for node in recipe:
            if makes_query(node) or node.is_element:
                continue
            if self.writes_within(node):
                self._run_reads(segment, environment, rows)
                segment = []
                self._group([node], environment, rows)
            else:
                segment.append(node)
        self._run_reads(segment, environment, rows)

    def _run_reads(self, segment: list[Node], environment: Environment, rows: list[int]) -> None:
        level: dict[Node, int] = {}
        waves: dict[int, dict[Any, list[Node]]] = {}
        for node in segment:
            number = level[node] = 1 + max((level.get(source, 0) for source in self._values_below(node)), default=0)
            key = self._template(node).key if is_read(node) else None
            waves.setdefault(number, {}).setdefault((type(node), key, None if key else node), []).append(node)
        for number in sorted(waves):
            for group in waves[number].values():
                self._group(group, environment, rows)

    def _values_below(self, node: Node) -> Iterable[Node]:
        """Return the nodes with the values that ``node`` needs; queries between them are skipped."""
        if node.binds_element or node.is_conditional:
            return self._below(node) - {node}
        stack, nodes = list(self._needed(node)), []
        while stack:
            source = stack.pop()
            if makes_query(source):
                stack.extend(self.inputs[source])
            else:
                nodes.append(source)
        return nodes

    def _template(self, node: Node) -> QueryTemplate:
        template = self._templates.get(node)
        if template is None:
            template = self._templates[node] = template_of(node)
        return template

    def writes_within(self, node: Node) -> bool:
        """Return True if the evaluation of ``node``, or of its body or branches, writes."""
        if not self.ev.writes:
            return False
        if node.writes or not isinstance(node, Map | Filter | IfElse | Literal | Operator):
            return node.writes
        writes = self._writing.get(node)
        if writes is None:
            is_cond = node.is_conditional
            writes = self._writing[node] = any(
                source.writes and (is_cond or self.free[source]) for source in self._below(node)
            )
        return writes

    def _below(self, node: Node) -> set[Node]:
        seen, stack = {node}, [node]
        while stack:
            for source in self.inputs[stack.pop()]:
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
        self.count(len(seen))
        return seen

    # Evaluation of one node, or of several nodes of one query template, for all rows

    def _group(self, group: list[Node], environment: Environment, rows: list[int]) -> None:
        bindings = []
        for node in group:
            column = environment.columns.setdefault(node, {})
            bindings += [(node, environment, row) for row in rows if row not in column]
        if not bindings:
            return
        self.count(len(bindings) if environment.param is not None else 0)
        special = self.special.get(type(group[0]))
        if special is not None:
            for node in group:
                todo = [row for lane_node, _, row in bindings if lane_node is node]
                self._at(node, environment, todo[0])
                self._store([(node, environment, row) for row in todo], special(self, node, environment, todo))
            return
        values = None
        if len(bindings) > 1 and is_read(group[0]):
            values = read_together(self, bindings, [self._template(node) for node, _, _ in bindings])
        self._store(bindings, values if values is not None else [self.single(*binding) for binding in bindings])

    def _store(self, bindings: list[Binding], values: list[Any]) -> None:
        for (node, environment, row), value in zip(bindings, values, strict=True):
            if type(value) is Failure and self._is_fatal(value, environment):
                self.ev.position = value.position
                raise value.error
            environment.columns.setdefault(node, {})[row] = value

    def _is_fatal(self, failure: Failure, environment: Environment) -> bool:
        """Return True if the evaluation has to end: a transaction cannot continue after this failure."""
        if isinstance(failure.error, DatabaseError):
            return self.ev.in_transaction
        return self.ev.writes and environment is self.root

    def single(self, node: Node, environment: Environment, row: int) -> Any:
        """Return the value of one node for one row, by its visitor; a Failure if the visitor raises an error."""
        self._at(node, environment, row)
        self.ev.policy.budget.check()
        try:
            return self.visitors[type(node)](self.ev, node)
        except Failed as failed:
            return failed.failure
        except (BadValue, TooManyNodes, LimitExceeded):
            raise
        except Exception as error:  # the error is the value of this row only
            if self.ev.in_transaction and isinstance(error, DatabaseError):
                raise
            return Failure(error, self.ev.position)

    def _at(self, node: Node, environment: Environment, row: int) -> None:
        self.visible.environment, self.visible.row = environment, row
        self.ev.position = self.place[node]
        self.ev.is_leaf = environment is self.root and node not in self.used

    def _missing(self, node: Node, environment: Environment, row: int) -> Any:
        """Return a value that is not evaluated yet; a query is built from its first step that is not built yet."""
        before = self.visible.environment, self.visible.row, self.ev.position, self.ev.is_leaf
        column = environment.columns.setdefault(node, {})
        try:
            if not makes_query(node):
                return self.pull(node, environment, [row])[0]
            todo = [node]
            parent = getattr(node, "parent", None)
            while parent is not None and makes_query(parent) and self._is_here(parent, environment):
                if row in environment.columns.setdefault(parent, {}):
                    break
                todo.append(parent)
                parent = getattr(parent, "parent", None)
            for step in reversed(todo):
                value = self.single(step, environment, row)
                environment.columns.setdefault(step, {})[row] = value
                if type(value) is Failure:
                    column[row] = value
                    break
            return column[row]
        finally:
            self.visible.environment, self.visible.row, self.ev.position, self.ev.is_leaf = before

    def read_queries(self, bindings: list[Binding]) -> None:
        """Read the rows of queries of one template as data, in one statement if possible."""
        templates = [self._template(node) if makes_query(node) else relation_template(node) for node, _, _ in bindings]
        if len(bindings) > 1:
            values = read_together(self, bindings, templates)
        else:
            values = [as_list(self, *bindings[0])]
        for (node, environment, row), value in zip(bindings, values, strict=True):
            environment.lists.setdefault(node, {})[row] = value

    def read_outputs(self) -> None:
        """Read the queries among the outputs, if there are several of one template."""
        groups: dict[Any, dict[Node, None]] = {}
        for position in self.ev.request.outputs:
            node = self.nodes[position]
            if makes_query(node):
                groups.setdefault(self._template(node).key, {})[node] = None
        for group in groups.values():
            if len(group) > 1:
                self.read_queries([(node, self.root, 0) for node in group])

    def output(self, node: Node) -> Any:
        """Return the value of an output; a query is returned as a query, unless its rows were read already."""
        lists = self.root.lists.get(node)
        return lists[0] if lists else self.value(node, self.root, 0)


def is_read(node: Node) -> bool:
    return isinstance(node, Attr) or is_terminal(node)
