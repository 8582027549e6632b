"""Query templates: a template is a read without its values.

Reads of one template differ only in the values of its parameters. One statement can answer all of them if each value
is in a position where SQL can distinguish the rows of different values.

>>> from django_rpc.graph.nodes import Method, ModelSource
>>> first, second = (Method(ModelSource("shop.Order", "rpc"), "get", (), {"pk": pk}) for pk in (1, 2))
>>> template_of(first).key == template_of(second).key
True
>>> [parameter.value for parameter in template_of(second).parameters], template_of(first).parameters[0].lookup
([2], 'pk')
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_rpc.graph.nodes import Attr, Item, Method, ModelSource, Node, Rows
from django_rpc.graph.values import ATOMS, Condition, Expr, Reference
from django_rpc.graph.vocabulary import names as vocabulary

__all__ = [
    "INSTANCE_METHODS",
    "Parameter",
    "QueryTemplate",
    "combining_method",
    "differing",
    "is_terminal",
    "makes_query",
    "obstacle",
    "relation_template",
    "template_of",
]

#: The methods that read one row of a query.
INSTANCE_METHODS = frozenset("get first last earliest latest".split())
#: The methods that read from a query; many calls of them can share one statement.
_TERMINALS = INSTANCE_METHODS | {"count", "exists", "aggregate"}
#: Operations that make it impossible, or not simple, to distinguish the rows of different values afterwards.
_OPAQUE = frozenset("union intersection difference and_ or_ xor none dates datetimes select_for_update".split())
_AGGREGATES = frozenset("Avg Count Max Min StdDev Sum Variance".split()) | vocabulary.POSTGRES_AGGREGATES
#: Methods that return a query.
_QUERIES = frozenset({name for name, spec in vocabulary.METHODS.items() if spec.returns_query})
#: Methods with lookups as keywords, which allow to distinguish their rows by a column.
_SELECTIVE = frozenset({"filter", "get", "filter_reuse"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in a read. ``lookup`` is set if operation number ``operation`` narrows the rows to ``lookup=value``."""

    value: Any
    operation: int
    lookup: str | None = None


@dataclass(slots=True)
class QueryTemplate:
    """A read without its values: reads with equal keys have one template.

    ``operations`` are the nodes from the first operation on the query to the operation that reads. ``base`` is the
    input of the first operation.
    """

    key: Hashable
    base: Node
    operations: tuple[Node, ...]
    parameters: list[Parameter] = field(default_factory=list)


def makes_query(node: Node) -> bool:
    """Return True if ``node`` is a query, or an operation that makes a query. Nothing is read for it."""
    kind = type(node)
    while kind is Item and isinstance(node.key, slice):  # type: ignore[attr-defined]  # the kind of the node has it
        node = node.parent  # type: ignore[attr-defined]  # the kind of the node has it
        kind = type(node)
    if kind is Method:
        return node.name in _QUERIES  # type: ignore[attr-defined]  # the kind of the node has it
    return kind is ModelSource


def is_terminal(node: Node) -> bool:
    """Return True if ``node`` reads from a query: rows, a single row, a count. Many reads can share one statement."""
    if isinstance(node, Method):
        return node.name in _TERMINALS
    return isinstance(node, Rows) or (isinstance(node, Item) and not makes_query(node) and makes_query(node.parent))


def template_of(node: Node) -> QueryTemplate:
    """Return the template of a terminal method, of rows, of a relation of an instance, or of a query itself."""
    operations: list[Node] = []
    base: Node = node
    if not makes_query(node):
        operations.append(node)
        base = getattr(node, "parent", node)
    while makes_query(base) and not base.is_source:
        operations.append(base)
        base = base.parent  # type: ignore[attr-defined]  # the kind of the node has it
    operations.reverse()
    parameters: list[Parameter] = []
    parts: list[Any] = [(base.model, base.base) if isinstance(base, ModelSource) else None]
    for position, operation in enumerate(operations):
        parts.append(_operation_key(operation, position, parameters))
    return QueryTemplate(tuple(parts), base, tuple(operations), parameters)


def relation_template(node: Node) -> QueryTemplate:
    """Return the template of all rows of a relation, which is the value of ``node``."""
    return QueryTemplate(("relation",), node, ())


def _operation_key(node: Node, position: int, parameters: list[Parameter]) -> Hashable:
    if isinstance(node, Method):
        selective = node.name in _SELECTIVE
        args = tuple(
            [
                _argument_key(value, position, parameters, _and_pairs(value) if selective else None)
                for value in node.args
            ]
        )
        named = tuple(
            [
                (key, _argument_key(item, position, parameters, None, key if selective else None))
                for key, item in node.kwargs.items()
            ]
        )
        return "method", node.name, args, named
    if isinstance(node, Item):
        return "item", _argument_key(node.key, position, parameters)
    if isinstance(node, Rows):
        return "rows", node.columns
    if isinstance(node, Attr):
        return "attr", node.name
    return type(node).__name__, id(node)


def _and_pairs(value: Any) -> Condition | None:
    return value if isinstance(value, Condition) and value.connector == "AND" and not value.negated else None


def _argument_key(
    value: Any,
    operation: int,
    parameters: list[Parameter],
    selective: Condition | None = None,
    lookup: str | None = None,
) -> Hashable:
    """Return a key of an argument without its values; add the values to ``parameters``."""
    kind = type(value)
    if kind in ATOMS or kind is Reference or kind in (set, frozenset):
        parameters.append(Parameter(value, operation, lookup))
        return "_"
    if isinstance(value, Node):
        if makes_query(value):
            inner = template_of(value)
            parameters.extend(Parameter(parameter.value, operation) for parameter in inner.parameters)
            parameters.append(Parameter(None if isinstance(inner.base, ModelSource) else inner.base, operation))
            return "query", inner.key
        parameters.append(Parameter(value, operation, lookup))
        return "_"
    if kind in (list, tuple):
        if all(type(item) in ATOMS for item in value):
            parameters.append(Parameter(value, operation, None))
            return "_"
        return kind.__name__, tuple([_argument_key(item, operation, parameters) for item in value])
    if kind is dict:
        return "dict", tuple(
            [
                (_argument_key(k, operation, parameters), _argument_key(v, operation, parameters))
                for k, v in value.items()
            ]
        )
    if kind is slice:
        return "slice", tuple(
            [_argument_key(part, operation, parameters) for part in (value.start, value.stop, value.step)]
        )
    if kind is Expr:
        return (
            value.name,
            _argument_key(value.args, operation, parameters),
            _argument_key(value.kwargs, operation, parameters),
        )
    if kind is Condition:
        children = tuple([_child_key(child, operation, parameters, selective is value) for child in value.children])
        return value.connector, value.negated, children
    return kind.__name__, id(value)


def _child_key(child: Any, operation: int, parameters: list[Parameter], selective: bool) -> Hashable:
    if isinstance(child, tuple):
        return child[0], _argument_key(child[1], operation, parameters, None, child[0] if selective else None)
    return _argument_key(child, operation, parameters, _and_pairs(child) if selective else None)


def differing(templates: Sequence[QueryTemplate]) -> list[int]:
    """Return the positions of the parameters with different values in templates with equal keys."""
    first = templates[0].parameters
    return [
        position
        for position, parameter in enumerate(first)
        if any(not _same(parameter.value, template.parameters[position].value) for template in templates)
    ]


def _same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    if isinstance(first, Node) or type(first) is not type(second):
        return False
    return bool(first == second) and repr(first) == repr(second)


def _groups(node: Node) -> bool:
    """Return True if the operation annotates with an aggregate, as far as its names show."""
    if not isinstance(node, Method) or node.name not in ("annotate", "alias"):
        return False
    return any(type(value) is Expr and value.name in _AGGREGATES for value in (*node.args, *node.kwargs.values()))


def combining_method(template: QueryTemplate) -> str | None:
    """Return the name of a method that combines rows although a later operation needs separate rows, or None."""
    last = template.operations[-1]
    all_rows = not is_terminal(last) and not any(isinstance(operation, Item) for operation in template.operations)
    names = {operation.name for operation in template.operations if isinstance(operation, Method)}
    if not all_rows or names & {"values", "values_list"}:
        grouped = next((operation for operation in template.operations if _groups(operation)), None)
        if grouped is not None:
            return str(grouped.name)  # type: ignore[attr-defined]  # the kind of the node has it
    if "distinct" in names and not all_rows and getattr(last, "name", "") != "exists":
        return "distinct"
    return None


def obstacle(template: QueryTemplate, positions: Sequence[int]) -> str | None:
    """Return the reason why reads that differ at these parameters cannot share a statement by a key; None if they can.

    The model may add reasons, for example a lookup through a to-many relation, or a column that is not a key.
    """
    for node in template.operations:
        if node.method_name in _OPAQUE:
            return f".{node.method_name}() makes one query of several, or locks"
    combining = combining_method(template)
    if combining is not None:
        return f".{combining}() combines rows, which cannot be separated afterwards"
    last = template.operations[-1]
    if not (is_terminal(last) or makes_query(last) or isinstance(last, Attr)):
        return "it is not one of " + ", ".join(sorted(_TERMINALS))
    for position in positions:
        parameter = template.parameters[position]
        if parameter.lookup is None:
            return "a value differs that is not the value of a lookup"
        if "__" in parameter.lookup and parameter.lookup.rpartition("__")[2] in vocabulary.LOOKUPS - {"exact"}:
            return f"no column separates the rows of different values of {parameter.lookup}=..."
    return None
