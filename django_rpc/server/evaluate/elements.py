"""Evaluation of the kinds with elements (map, filter, fold and cond), for all rows of a environment at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet

from django_rpc.errors import LimitExceeded
from django_rpc.graph.nodes import Element, Filter, IfElse, Literal, Map, Node, Reduce
from django_rpc.graph.nodes.collections import total
from django_rpc.graph.values import ATOMS, RowSet
from django_rpc.server.django_compat import is_evaluated, selects_columns
from django_rpc.server.evaluate.environment import Environment, Failure
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.lowering.query_template import makes_query
from django_rpc.server.query.loaded_relations import loaded_by, remember
from django_rpc.server.visitors import visits, visits_batch

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["alone", "count_rows"]

_LISTS = (list, tuple, set, frozenset)
_CONTAINERS = (list, tuple, dict, set, frozenset)


class _Spans:
    """Elements of all rows in one list; ``ends`` has the end of each row's elements in the list."""

    def __init__(self, engine: Scheduler, node: Map | Filter, environment: Environment, rows: list[int]) -> None:
        self.failures: dict[int, Failure] = {}
        self.ends: list[int] = []
        elements: list[Any] = []
        owner: list[int] = []
        position = engine.place[node]
        for index, (row, value) in enumerate(zip(rows, engine.pull(node.parent, environment, rows), strict=True)):
            row_elements: list[Any] = []
            if type(value) is Failure:
                self.failures[index] = value
            elif (listed := _elements(engine, value)) is None:
                error = TypeError(f"'{type(value).__name__}' object is neither a query nor a list: it has no elements")
                self.failures[index] = Failure(error, position)
            else:
                row_elements = listed
            engine.count_elements(len(row_elements))
            elements += row_elements
            owner += [row] * len(row_elements)
            self.ends.append(len(elements))
        # The kind of the node has the type that the environment needs.
        made = Environment(node.param, elements, owner, environment)  # type: ignore[arg-type]
        self.environment: Environment = engine.ev.noted(made)

    def bodies(self, engine: Scheduler, node: Map | Filter) -> list[list[Any]]:
        """Return the value of the body for each element, grouped by row."""
        values = engine.pull(node.body, self.environment, range(len(self.environment.elements)))
        count_rows(engine, values)
        starts = [0, *self.ends[:-1]] if self.ends else []
        return [values[start:end] for start, end in zip(starts, self.ends, strict=True)]

    def elements(self) -> list[list[Any]]:
        starts = [0, *self.ends[:-1]] if self.ends else []
        return [self.environment.elements[start:end] for start, end in zip(starts, self.ends, strict=True)]


def _elements(engine: Scheduler, value: Any) -> list[Any] | None:
    """Return the elements of a query or list, limited to one more than allowed; None for any other value."""
    ev = engine.ev
    if isinstance(value, Relation):
        value = value.queryset(ev)
    if isinstance(value, QuerySet):
        value = ev.as_client(value) if not selects_columns(value) else value
        loaded = loaded_by(value)
        left = engine.elements_left + 1
        query = value.query
        high = left if query.high_mark is None else min(left, query.high_mark - query.low_mark)
        limited = ev.complete(value) if is_evaluated(value) else ev.complete(value)[:high]
        return [remember(item, loaded) for item in limited]
    if isinstance(value, RowSet):
        return list(value.rows)
    return list(value) if isinstance(value, _LISTS) else None


def count_rows(engine: Scheduler, values: list[Any]) -> None:
    """Count the items in the values of elements: a list that is the value of many elements is sent many times."""
    sizes: dict[int, int] = {}
    engine.count_elements(sum(_size(value, sizes) for value in values if isinstance(value, _CONTAINERS)))


def _size(value: Any, known: dict[int, int]) -> int:
    """Return the number of items in a container, at any depth; ``known`` is a cache of the sizes by id."""
    size = known.get(id(value))
    if size is None:
        items = value.values() if isinstance(value, dict) else value
        size = len(value) + sum(_size(item, known) for item in items if isinstance(item, _CONTAINERS))
        known[id(value)] = size
    return size


@visits_batch(Map)
def _map(engine: Scheduler, node: Map, environment: Environment, rows: list[int]) -> list[Any]:
    spans = _Spans(engine, node, environment, rows)
    results = []
    for index, values in enumerate(spans.bodies(engine, node)):
        failed = spans.failures.get(index)
        if failed is None and not node.errors:
            failed = _first_failure(values)
        results.append(failed if failed is not None else values)
    return results


def _first_failure(values: list[Any]) -> Failure | None:
    return next((value for value in values if type(value) is Failure), None)


@visits_batch(Filter)
def _where(engine: Scheduler, node: Filter, environment: Environment, rows: list[int]) -> list[Any]:
    spans = _Spans(engine, node, environment, rows)
    results: list[Any] = []
    for index, (values, elements) in enumerate(zip(spans.bodies(engine, node), spans.elements(), strict=True)):
        failed = spans.failures.get(index)
        truths = [_tested(engine, node, value) for value in values] if failed is None else []
        failed = failed or _first_failure(truths)
        selected = [] if failed else [item for item, truth in zip(elements, truths, strict=True) if truth]
        results.append(selected if failed is None else failed)
    return results


def _tested(engine: Scheduler, node: Node, value: Any) -> bool | Failure:
    """Return the truth of a value; the Failure of its row if the value is a failure or has no truth."""
    if type(value) is Failure:
        return value
    try:
        return _truth(value)
    except LimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - the error belongs to this row
        return Failure(error, engine.place[node])


def _truth(value: Any) -> bool:
    if isinstance(value, QuerySet):
        return value.exists()
    return bool(value)


@visits_batch(IfElse)
def _cond(engine: Scheduler, node: IfElse, environment: Environment, rows: list[int]) -> list[Any]:
    tests = engine.pull(node.test, environment, rows)
    chosen: dict[Node, list[int]] = {node.then: [], node.otherwise: []}
    results: dict[int, Any] = {}
    for row, test in zip(rows, tests, strict=True):
        truth = True if node.then is node.otherwise and type(test) is not Failure else _tested(engine, node, test)
        if type(truth) is Failure:
            results[row] = truth
        else:
            chosen[node.then if truth else node.otherwise].append(row)
    for branch, members in chosen.items():
        results.update(zip(members, engine.pull(branch, environment, members), strict=True))
    return [results[row] for row in rows]


@visits_batch(Literal)
def _literal(engine: Scheduler, node: Literal, environment: Environment, rows: list[int]) -> list[Any]:
    """Evaluate a container; a query in it is read once for all rows."""
    inputs = node.inputs()
    if not inputs:
        return [engine.single(node, environment, row) for row in rows]
    read = {
        query: engine.pull(query, environment, rows)
        for query in inputs
        if environment.outer is not None or makes_query(query)
    }
    for values in read.values():
        count_rows(engine, values)
    results = []
    for index, row in enumerate(rows):
        instead = {query: values[index] for query, values in read.items()}
        failed = _first_failure(list(instead.values()))
        if failed is None:
            engine.visible.instead = instead
            try:
                results.append(engine.single(node, environment, row))
            finally:
                engine.visible.instead = {}
        else:
            results.append(failed)
    return results


@visits_batch(Reduce)
def _fold(engine: Scheduler, node: Reduce, environment: Environment, rows: list[int]) -> list[Any]:
    results = []
    for value in engine.pull(node.parent, environment, rows):
        failed = value if type(value) is Failure else None
        elements = None if failed is not None else _elements(engine, value)
        if elements is not None:
            failed = _first_failure(elements)
        if failed is None:
            try:
                if elements is None:
                    raise TypeError(f"'{type(value).__name__}' object is no list: it cannot be folded")
                failed = _FOLDS[node.name](elements)
            except Exception as error:  # noqa: BLE001 - the error belongs to this row
                failed = Failure(error, engine.place[node])
        results.append(failed)
    return results


def _sum(values: list[Any]) -> Any:
    """Return the sum of numbers or durations; operators of other objects are not called."""
    for value in values:
        if type(value) not in ATOMS or isinstance(value, str | bytes):
            raise TypeError(f"sum() is of numbers and durations, and not of '{type(value).__name__}'")
    return total(values)


def _least(choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    return lambda values: choose(values) if values else None


_FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": _sum,
    "min": _least(min),
    "max": _least(max),
    "any": lambda values: any(map(_truth, values)),
    "all": lambda values: all(map(_truth, values)),
    "len": len,
}


@visits(Element, Map, Filter, Reduce, IfElse)
def alone(ev: Evaluator, node: Any) -> Any:
    """Visitor of a kind that only the engine can evaluate; always raises TypeError."""
    raise TypeError(f"A {type(node).__name__} is evaluated along with its elements.")
