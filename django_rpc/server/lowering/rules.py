"""Rules of lowering: the physical reads in their order, and their application to bindings."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from django_rpc.errors import BadValue, LimitExceeded, TooManyNodes
from django_rpc.graph.nodes import ModelSource, Node
from django_rpc.server.evaluate.environment import Binding, Failed, Failure
from django_rpc.server.lowering.batched_lookup import BatchedLookup
from django_rpc.server.lowering.correlated_subquery import CorrelatedSubquery
from django_rpc.server.lowering.grouped_aggregate import GroupedAggregate
from django_rpc.server.lowering.loop import Loop, read_separately
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, NotPossible, PhysicalRead, is_attribute
from django_rpc.server.lowering.query_template import QueryTemplate
from django_rpc.server.lowering.related_instance import RelatedInstance
from django_rpc.server.lowering.value_keys import token
from django_rpc.server.lowering.window_slice import WindowSlice

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["RULES", "read_together"]

#: The first rule that matches and is possible answers a read; a loop is always possible.
RULES: tuple[PhysicalRead, ...] = (
    RelatedInstance(),
    GroupedAggregate(),
    WindowSlice(),
    BatchedLookup(),
    CorrelatedSubquery(),
    Loop(),
)

logger = logging.getLogger("django_rpc.server")


def read_together(engine: Scheduler, bindings: Sequence[Binding], templates: Sequence[QueryTemplate]) -> list[Any]:
    """Return the value of each binding, or its Failure. All templates have the same key."""
    results: list[Any] = [None] * len(bindings)
    reads = _equal_reads(engine, bindings, templates, results)
    differing = [
        position
        for position in range(len(templates[0].parameters))
        if len({token(read.values[position]) for read in reads}) > 1
    ]
    node, environment, _ = bindings[0]
    read = LogicalRead(templates[0], differing, node, environment.param, reads)
    for equal, value in zip(reads, _values(engine, read), strict=True):
        for index in equal.indexes:
            results[index] = value
    return results


def _values(engine: Scheduler, read: LogicalRead) -> list[Any]:
    if len(read.reads) < 2:
        return [read_separately(engine, read, equal) for equal in read.reads]
    for rule in RULES:
        if rule.matches(read):
            try:
                rule.check(engine, read)
                return rule.run(engine, read)
            except NotPossible as reason:
                logger.debug("No %s: %s", rule.name, reason)
    raise AssertionError("A loop is always possible.")


def _equal_reads(
    engine: Scheduler, bindings: Sequence[Binding], templates: Sequence[QueryTemplate], results: list[Any]
) -> list[EqualReads]:
    """Group the bindings by equal reads; a binding with a failed input gets its failure in ``results`` at once."""
    reads: dict[Hashable, EqualReads] = {}
    constant = all(binding[0] is bindings[0][0] for binding in bindings)
    for index, (binding, template) in enumerate(zip(bindings, templates, strict=True)):
        engine.visible.environment, engine.visible.row = binding[1], binding[2]
        try:
            if is_attribute(binding[0], template):
                # An item with a parent is the first part of the binding.
                reads[index] = EqualReads(binding, [], engine.visible[binding[0].parent], index)  # type: ignore[attr-defined]
                continue
            base = None if isinstance(template.base, ModelSource) else engine.visible[template.base]
            values = [_value(engine, parameter.value, constant) for parameter in template.parameters]
        except Failed as failed:
            results[index] = failed.failure
            continue
        except (BadValue, TooManyNodes, LimitExceeded):
            raise
        except Exception as error:  # noqa: BLE001 - the error of a value is the error of this binding
            results[index] = Failure(error, engine.place[binding[0]])
            continue
        key = (token(base), *[token(value) for value in values])
        if key in reads:
            reads[key].indexes.append(index)
        else:
            reads[key] = EqualReads(binding, values, base, index)
    return list(reads.values())


def _value(engine: Scheduler, value: Any, constant: bool) -> Any:
    """Return the value of a parameter; None for a constant that is equal in all reads."""
    if isinstance(value, Node):
        return engine.visible[value]
    return None if constant else value
