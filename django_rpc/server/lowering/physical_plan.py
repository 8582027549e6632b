"""Physical plan of a request: the physical read of each read that is done many times, for ``explain()``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_rpc.graph.nodes import Attr, Element, Filter, IfElse, Item, Literal, Map, Method, ModelSource, Node, Reduce
from django_rpc.graph.nodes.collections import MAX_DEPTH
from django_rpc.graph.vocabulary.names import METHODS
from django_rpc.server.lowering.physical_read import LogicalRead, NotPossible, is_attribute
from django_rpc.server.lowering.query_template import (
    INSTANCE_METHODS,
    QueryTemplate,
    differing,
    is_terminal,
    makes_query,
    relation_template,
    template_of,
)
from django_rpc.server.lowering.rules import RULES
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.wire.messages import PlannedRead

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["physical_plan"]

_Models = dict[Node, type[Model] | None]

#: Methods that read a query and return another value.
_READING = {name for name, spec in METHODS.items() if "query" in spec.on and not spec.returns_query and not spec.writes}

#: Methods that return a query of values, and not of instances.
_VALUES = frozenset({"values", "values_list", "dates", "datetimes"})


def physical_plan(engine: Scheduler) -> tuple[PlannedRead, ...]:
    """Return the physical reads of the request: of each read in a map, and of each group of reads of one template.

    A run may use other reads for single values, for example for null, which equals no key.
    """
    models = _models(engine)
    planned: list[PlannedRead] = []
    groups: dict[object, list[QueryTemplate]] = {}
    nodes: dict[object, Node] = {}
    users = _users(engine)
    for node in engine.nodes:
        free = engine.free[node]
        if free and _calls_code(engine, node, models):
            planned.append(_planned(engine, node, "loop", "code of the service is called for each element"))
        elif free and (template := _template(engine, node, users.get(node, ()), models)) is not None:
            planned += _plan(engine, node, template, models)
        elif not free and is_terminal(node):
            template = template_of(node)
            nodes.setdefault(template.key, node)
            groups.setdefault(template.key, []).append(template)
    for key, templates in groups.items():
        if len(templates) > 1:
            read = LogicalRead(templates[0], differing(templates), nodes[key], None, model=models[templates[0].base])
            planned += _lowered(engine, read)
    return tuple(planned)


def _planned(engine: Scheduler, node: Node, kind: str, detail: str) -> PlannedRead:
    return PlannedRead(engine.place[node], kind, detail)


def _plan(engine: Scheduler, node: Node, template: QueryTemplate, models: _Models) -> Iterable[PlannedRead]:
    """Return the physical read of a node of a map; nothing for an attribute that is no relation."""
    free = engine.free[node]
    if any(other.writes and engine.free[other] for other in engine.nodes):
        if not is_attribute(node, template):
            yield _planned(engine, node, "loop", "a map that writes handles one element after the other")
        return
    positions = [
        position
        for position, parameter in enumerate(template.parameters)
        if isinstance(parameter.value, Node) and engine.free[parameter.value]
    ]
    element = next(iter(free))
    read = LogicalRead(
        template, positions, node, element, model=models.get(template.base), element_model=models.get(element)
    )
    yield from _lowered(engine, read)


def _lowered(engine: Scheduler, read: LogicalRead) -> Iterable[PlannedRead]:
    """Return the first physical read that is possible."""
    for rule in RULES:
        if rule.matches(read):
            try:
                yield _planned(engine, read.node, rule.name, rule.describe(engine, read))
                return
            except NotPossible as reason:
                if is_attribute(read.node, read.template):
                    return
                read.obstacles.append(str(reason))


def _users(engine: Scheduler) -> dict[Node, list[Node]]:
    users: dict[Node, list[Node]] = {}
    for node, inputs in engine.inputs.items():
        for source in inputs:
            users.setdefault(source, []).append(node)
    return users


def _template(engine: Scheduler, node: Node, users: Iterable[Node], models: _Models) -> QueryTemplate | None:
    """Return the template of a node that reads, or of a query that another node reads; otherwise None."""
    if is_terminal(node) or node.method_name in _READING:
        return template_of(node)
    needs_rows = any(isinstance(user, Map | Filter | Literal | IfElse | Reduce) for user in users)
    if makes_query(node):
        return template_of(node) if needs_rows else None
    if not isinstance(node, Attr) or (field := _relation(engine, node, models)) is None:
        return None
    if field.one_to_many or field.many_to_many:
        return relation_template(node) if needs_rows else None
    return template_of(node)


def _relation(engine: Scheduler, node: Attr, models: _Models) -> Any:
    """Return the relation that the attribute is; None for another attribute, or of an unknown model."""
    model = models.get(node.parent)
    with contextlib.suppress(FieldDoesNotExist):
        return None if model is None else relation_named(engine.ev.policy, model, node.name)
    return None


def _calls_code(engine: Scheduler, node: Node, models: _Models) -> bool:
    """Return True for a registered method or function, and for a computed field."""
    if isinstance(node, Attr):
        model = models.get(node.parent)
        view = None if model is None else engine.ev.policy.view(model)
        return view is not None and node.name in view.computed
    return node.runs_service_code


def _models(engine: Scheduler) -> _Models:
    """Return the model of the rows, or of the instance, of each node; None if it is not known before the run."""
    models: _Models = {}
    for _ in range(MAX_DEPTH + 1):  # the elements of a nested map are known after the elements of the outer map
        elements: dict[Node, set[type[Model] | None]] = {}
        for node in engine.nodes:
            if isinstance(node, Map | Filter):
                elements.setdefault(node.param, set()).add(models.get(node.parent))
        for node in engine.nodes:
            models[node] = _model(engine, node, models, elements)
    return models


def _model(
    engine: Scheduler, node: Node, models: _Models, elements: dict[Node, set[type[Model] | None]]
) -> type[Model] | None:
    if isinstance(node, Element):
        candidates = elements.get(node, {None})
        return next(iter(candidates)) if len(candidates) == 1 else None
    if isinstance(node, ModelSource):
        with contextlib.suppress(LookupError):  # the evaluation of the node reports it
            return engine.ev.policy.model(node.model)
        return None
    if isinstance(node, Attr):
        field = _relation(engine, node, models)
        return None if field is None else field.related_model
    if isinstance(node, Method):
        has_instances = node.name in INSTANCE_METHODS or (makes_query(node) and node.name not in _VALUES)
        return models[node.parent] if has_instances else None
    return models[node.parent] if isinstance(node, Item | Filter) else None
