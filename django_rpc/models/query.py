"""A ``sql.Query`` with a node for the service.

The local query stays complete: it validates names at the user's line, and has the position of each column in a row.
``node`` is the same query as a graph. Public QuerySet methods set the node (see `queryset`). This module records the
changes that Django makes to a Query without a public method.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet, ImproperlyConfigured
from django.db import connections
from django.db.models import Q
from django.db.utils import NotSupportedError

from django_rpc.backend.django_compat import (
    EXPLAIN_OPTIONS_PATTERN,
    IntegerFieldOverflow,
    NothingNode,
    Query,
    output_field_of,
)
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Item, Method, ModelSource, Node, callsite
from django_rpc.graph.plan.retarget import moved
from django_rpc.graph.values import Condition, freeze
from django_rpc.graph.vocabulary.signatures import THROUGH_PREFIX
from django_rpc.models.custom_fields import loaded_value, makes_values, prepared_lookups, prepares_lookups
from django_rpc.models.expressions import materialize_iterators, to_local_query
from django_rpc.models.inline_subquery import as_values
from django_rpc.models.options import mirror_options, options_of

__all__ = ["RpcQuery", "hidden_path"]

_LARGEST_INTEGER = 2**63 - 1
_NO_OPTIONS: dict[str, Any] = {}


class RpcQuery(Query):
    """Query on a mirror.

    ``node`` is the node to send. ``answer`` (`prefetch.FetchedRows`) has rows of an earlier message, so that the query
    sends no message. ``options`` are the options of ``with_options()``.
    """

    node: Node
    answer: Any = None
    options: dict[str, Any] = _NO_OPTIONS

    def __init__(self, model: Any, alias_cols: bool = True) -> None:
        super().__init__(model, alias_cols)
        options = options_of(model) if model is not None else None
        if options is not None:
            self.node = ModelSource(options.label, options.database, model, where=callsite())

    @property
    def has_rows(self) -> bool:
        """True while the rows of an earlier message are read."""
        return self.answer is not None and self.answer.rowset is not None

    @property
    def database(self) -> str:
        """Alias of the service for this query, where the caller specifies no ``using``."""
        return mirror_options(self.model).database

    # For printing

    def __str__(self) -> str:
        """Return the SQL for the default database; without a local default database, the calls that made this query."""
        try:
            return super().__str__()
        except (NotSupportedError, ImproperlyConfigured):
            return describe(self.recorded())

    # For the compilers and other queries

    def recorded(self, using: str | None = None) -> Node:
        """Return the node to send, with the mirror's ``Meta.ordering`` where no other ordering applies.

        ``using`` is the service that receives it. It reads this query and all queries nested in it.
        """
        node = self._ordered()
        return node if using is None or using == self.database else moved(node, self.database, using)

    def nested(self, using: str | None) -> Node:
        """Return the node for use in another query. With ``using``, the node is always read from that service.

        Without ``using``, the other query decides the service.
        """
        node = self._ordered()
        return node if using is None else moved(node, self.database, using, pinned=True)

    def _ordered(self) -> Node:
        node = self.node
        if self.default_ordering and not self.order_by and not self.extra_order_by and not self.group_by:
            ordering = self.model._meta.ordering
            if ordering:
                node = Method(node, "default_ordering", tuple(freeze(list(ordering))), where=node.where)
        return node

    def is_known_empty(self) -> bool:
        """Return True when no row can match, as after ``none()`` or ``filter(pk__in=[])``; then no message is sent."""
        if not self.combinator:
            return _matches_nothing(self.where)
        empty = [getattr(query, "is_known_empty", bool)() for query in self.combined_queries]
        return {"union": all(empty), "intersection": any(empty), "difference": empty[0]}[self.combinator]

    @staticmethod
    def wire_alias(name: str) -> str:
        """Return the wire's name of a selected alias, which differs from Django's alias for a through column."""
        return name.replace("_prefetch_related_val_", THROUGH_PREFIX, 1) if name.startswith("_") else name

    # For changes that Django makes to a Query directly

    def add_q(self, q_object: Q, *args: Any, **kwargs: Any) -> None:
        q_object = materialize_iterators(q_object)
        if self.has_rows:  # the rows have arrived, and no message is sent; later, a clone is an ordinary query
            super().add_q(q_object, *args, **kwargs)
            return
        node = self.node
        if self.used_aliases:  # Django treats this filter and the one before it as one filter
            node = Method(node, "sticky")
        sent = prepared_lookups(self, q_object) if prepares_lookups(q_object) else q_object
        name, step_args, step_kwargs = _filter_step(_hidden_by_server(self.model, freeze(sent)))
        if (args and args[0]) or kwargs.get("reuse_all"):
            name, step_args, step_kwargs = "filter_reuse", (freeze(sent),), {}
        super().add_q(to_local_query(q_object), *args, **kwargs)
        self.node = Method(node, name, step_args, step_kwargs, where=callsite())

    def set_limits(self, low: int | None = None, high: int | None = None) -> None:
        node = self.node
        super().set_limits(low, high)
        self.node = Item(node, slice(low, high), where=callsite())

    def clear_limits(self) -> None:
        node = self.node
        super().clear_limits()
        self.node = Method(node, "clear_limits")

    def set_empty(self) -> None:
        node = self.node
        super().set_empty()
        self.node = Method(node, "none", where=callsite())

    def clear_ordering(self, force: bool = False, clear_default: bool = True) -> None:
        node = self.node
        super().clear_ordering(force=force, clear_default=clear_default)
        self.node = Method(node, "clear_ordering", (force, clear_default))

    def add_ordering(self, *ordering: Any) -> None:
        node = self.node
        frozen = freeze(ordering)
        super().add_ordering(*[to_local_query(item) for item in ordering])
        self.node = Method(node, "add_ordering", frozen, where=callsite())

    def clear_select_clause(self) -> None:
        node = self.node
        super().clear_select_clause()
        self.node = Method(node, "clear_select_clause")

    def add_fields(self, field_names: Any, allow_m2m: bool = True) -> None:
        node = self.node
        names = tuple(field_names)
        super().add_fields(names, allow_m2m)
        self.node = Method(node, "add_fields", (names, allow_m2m))

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """Return SQL for this query in a local query: its values are fetched first.

        For ``Exists()``, only the existence of rows is fetched. Django's constraints use it to validate an instance.
        """
        if hasattr(compiler.query, "recorded"):  # only for a person who reads it; a query on a mirror runs no SQL
            return super().as_sql(compiler, connection)
        if connection.vendor != "rpc" and _asks_only_whether(self):
            exists = self._value(self.database, "exists")
            return f"(SELECT 1{connection.features.bare_select_suffix} WHERE 1 = {int(exists)})", ()
        if connection.vendor != "rpc":
            return as_values(self, connection)
        return super().as_sql(compiler, connection)

    def combine(self, rhs: Any, connector: str) -> None:
        if not hasattr(rhs, "recorded"):
            raise TypeError(
                f"A query on {self.model.__name__}, a mirror, cannot be combined with one on the local model "
                f"{rhs.model.__name__}."
            )
        node, other = self.node, rhs.recorded()
        super().combine(rhs, connector)
        self.node = Method(node, f"{connector.lower()}{'_' if connector != 'XOR' else ''}", (other,), where=callsite())

    # For values that Django computes with a Query

    def get_count(self, using: str) -> int:
        if self.is_known_empty():
            return 0
        return self._value(using, "count")

    def has_results(self, using: str, *args: Any) -> bool:
        if self.is_known_empty():
            return False
        return self._value(using, "exists")

    def get_aggregation(self, using: str, aggregate_exprs: dict[str, Any]) -> dict[str, Any]:
        if not aggregate_exprs:
            return {}
        frozen = freeze(dict(aggregate_exprs))
        resolved = self._validate_aggregates(aggregate_exprs)
        if self.is_known_empty():
            values = {alias: expression.empty_result_set_value for alias, expression in resolved.items()}
            if not any(value is NotImplemented for value in values.values()):
                return values
        results = self._value(using, "aggregate", (), frozen)
        fields = {alias: output_field_of(expression) for alias, expression in resolved.items()}
        own_fields = {alias: field for alias, field in fields.items() if field is not None and makes_values(field)}
        return {**results, **{alias: loaded_value(field, results[alias], using) for alias, field in own_fields.items()}}

    def explain(self, using: str, format: str | None = None, **options: Any) -> str:
        for name in options:
            if not EXPLAIN_OPTIONS_PATTERN.fullmatch(name) or "--" in name:
                raise ValueError(f"Invalid option name: {name!r}.")
        return self._value(using, "explain", (), {"format": format, **options} if format else options)

    def _value(self, using: str, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        node = Method(self.recorded(using), name, args, kwargs or {}, where=callsite())
        return connections[using].compute(node, self.options)

    def _validate_aggregates(self, aggregate_exprs: dict[str, Any]) -> dict[str, Any]:
        """Return the aggregates as Django resolves them; raise Django's error for a wrong aggregate."""
        query = self.clone()
        resolved_aggregates: dict[str, Any] = {}
        for alias, expression in aggregate_exprs.items():
            query.check_alias(alias)
            resolved = to_local_query(expression).resolve_expression(
                query, allow_joins=True, reuse=None, summarize=True
            )
            if not resolved.contains_aggregate:
                raise TypeError(f"{alias} is not an aggregate expression")
            query.append_annotation_mask([alias])
            query.annotations[alias] = resolved_aggregates[alias] = resolved
        return resolved_aggregates


def _hidden_by_server(model: Any, condition: Condition) -> Condition:
    """Return ``condition`` with the service's names of hidden relations, which Django's managers use in filters.

    Django makes such a name from the app, the model and the field (``_shop_order_tags_+``), which may have other names
    at the service.
    """
    if not any(isinstance(child, tuple) and "_+" in child[0] for child in condition.children):
        return condition
    children = [(hidden_path(model, c[0]), c[1]) if isinstance(c, tuple) else c for c in condition.children]
    return Condition(tuple(children), condition.connector, condition.negated)


def hidden_path(model: Any, path: str) -> str:
    """Return ``path`` from ``model`` with the service's name of a hidden many-to-many relation at its start."""
    head, sign, rest = path.partition("_+")
    if not sign:
        return path
    many = model._meta.get_field(head + sign).field
    options = options_of(many.model)
    if many.remote_field.symmetrical or options is None:
        return path
    app_label, name = options.label.split(".")
    return f"_{app_label}_{name.lower()}_{many.name}_+{rest}"


def _filter_step(condition: Condition) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the method call for ``condition``: ``filter(a=1)`` where the pairs can be keywords of one call."""
    children = condition.children
    names = [child[0] for child in children if isinstance(child, tuple)]
    if condition.connector == "AND" and len(names) == len(children) == len(set(names)):
        return ("exclude" if condition.negated else "filter"), (), dict(children)
    if condition.connector == "AND" and condition.negated and len(children) == 1:
        (inner,) = children
        if isinstance(inner, Condition):
            name, args, kwargs = _filter_step(inner)
            if name == "filter":
                return "exclude", args, kwargs
    if condition.connector == "AND" and not condition.negated and len(children) == 1:
        (inner,) = children
        if isinstance(inner, Condition):
            return _filter_step(inner)
    return "filter", (condition,), {}


def _asks_only_whether(query: Any) -> bool:
    """Return True for the query of ``Exists()``."""
    return bool(query.subquery and query.high_mark == 1 and list(query.annotations) == ["a"])


def _matches_nothing(where: Any) -> bool:
    if where.negated or where.connector != "AND":
        return False
    for child in where.children:
        if isinstance(child, NothingNode):
            return True
        if getattr(child, "lookup_name", None) == "in":
            values = getattr(child, "rhs", None)
            if isinstance(values, list | tuple | set | frozenset) and all(map(_is_null, values)):
                return True  # since NULL is not equal to any value
        elif isinstance(child, IntegerFieldOverflow):
            if _is_beyond(child):
                return True
        elif hasattr(child, "children") and _matches_nothing(child):
            return True
    return False


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and None in value)  # a tuple for several columns


def _is_beyond(lookup: Any) -> bool:
    """Return True if a lookup compares an integer column with a value outside of the range of all databases."""
    value = lookup.rhs
    positive = getattr(lookup.lhs.output_field, "get_internal_type", str)().startswith("Positive")
    if type(value) is not int or (0 if positive else -_LARGEST_INTEGER - 1) <= value <= _LARGEST_INTEGER:
        return False
    error = lookup.overflow_exception if value > 0 else lookup.underflow_exception
    return bool(error is EmptyResultSet)
