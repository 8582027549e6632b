"""Conversion of Django's query expressions, conditions and instances to nodes, and to arguments of the local query.

Each argument of a recorded method is converted twice. `freeze` returns its form on the wire; this module registers
Django's types for it. `to_local_query` returns the argument for Django's method on the local query, with a placeholder
for a `Delayed` or a future, which has no value yet.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models import Q, QuerySet, expressions
from django.db.models.expressions import BaseExpression, Combinable
from django.db.models.fields import Field
from django.utils.functional import LazyObject

from django_rpc.backend.django_compat import (
    NegatedExpression,
    Query,
    Sliced,
    TupleLookupMixin,
    WindowFrameExclusion,
    constructor_arguments,
    is_negated,
    is_passed,
    key_fields,
    new_q,
    unwrapped,
    using_of,
)
from django_rpc.client.deferred import Pending
from django_rpc.graph.nodes import Method, ModelSource, Node, callsite
from django_rpc.graph.values import ATOMS, Condition, Expr, Reference, freeze
from django_rpc.graph.vocabulary.names import EXPRESSIONS, FIELDS, OUTPUT_FIELDS, POSTGRES, check_path
from django_rpc.graph.walk import DATA, map_children, map_leaves
from django_rpc.models.constructor_arguments import current_arguments
from django_rpc.models.content_types import is_content_type, sent_key
from django_rpc.models.custom_expressions import name_of
from django_rpc.models.custom_fields import prepared_by, stored_value, text_of, writes_own_sql
from django_rpc.models.options import options_of
from django_rpc.models.tuples import own_column, tuple_condition

__all__ = ["Placeholder", "is_database_default", "materialize_iterators", "prepared_value", "to_local_query"]

#: Default values of field arguments that are not None by default.
_DEFAULTS = {"protocol": "both", "unpack_ipv4": False}


class Placeholder(expressions.Expression):
    """Placeholder in a local query for a value that is not known yet."""

    output_field = Field()

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Placeholder:
        return self


# Conversion to the wire


@freeze.register(Q)
def _(value: Q) -> Condition:
    children = []
    for child in value.children:
        if isinstance(child, tuple):
            name, argument = child
            children.append((name, argument if type(argument) in ATOMS else freeze(argument)))
        else:
            children.append(freeze(child))
    return Condition(tuple(children), value.connector, value.negated)


@freeze.register(memoryview)
@freeze.register(bytearray)
def _(value: Any) -> bytes:
    return bytes(value)


@freeze.register(Sliced)
def _(value: Any) -> Expr:
    length = () if value.length is None else (value.length,)
    return Expr("Substr", (freeze(value.obj), value.start, *length))


@freeze.register(expressions.F)
def _(value: expressions.F) -> Expr:
    kind = "OuterRef" if isinstance(value, expressions.OuterRef) else "F"
    if type(value) not in (expressions.F, expressions.OuterRef):
        raise TypeError(f"{type(value).__name__} cannot be sent to a service.")
    if isinstance(value.name, str):  # the name of a nested OuterRef is an OuterRef
        _check_field_name(value.name)
    return Expr(kind, (value.name,))


def _check_field_name(name: str) -> None:
    """Raise FieldError, as Django does for a wrong name, for a name that no message may contain."""
    try:
        check_path(name)
    except ValueError as error:
        raise FieldError(str(error)) from None


@freeze.register(BaseExpression)
def _(value: BaseExpression) -> Expr:
    if isinstance(value, expressions.RawSQL):
        raise TypeError("RawSQL cannot be sent to a service: no SQL crosses the wire. Use query expressions.")
    if isinstance(value, expressions.Col):
        return Expr("F", (own_column(value),))
    if isinstance(value, expressions.Subquery):
        return _subquery(value)
    if is_database_default(value):
        return freeze(value.expression)
    name = name_of(value)
    args, kwargs = constructor_arguments(value)
    if name.startswith(POSTGRES):
        if "invert" in EXPRESSIONS[name]:  # `~` changes it in a copy
            kwargs = {**kwargs, "invert": value.invert}
        return Expr(name, freeze(tuple(args)), _keywords(name, kwargs))
    if type(value) is expressions.Func:
        kwargs = {key: item for key, item in kwargs.items() if key != "function"}  # the wire's name contains it
    return Expr(name, freeze(current_arguments(value, tuple(args))), _keywords(name, kwargs))


def _keywords(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    allowed = EXPRESSIONS.get(name)
    for key in kwargs:
        if allowed is not None and key not in allowed and name != "JSONObject":
            raise TypeError(
                f"{name}({key}=...) cannot be sent to a service; {name} may have: {', '.join(sorted(allowed)) or '-'}."
            )
    return {key: freeze(item) for key, item in kwargs.items() if is_passed(item)}


def _subquery(value: expressions.Subquery) -> Expr:
    kind = name_of(value)
    recorded = getattr(value.query, "recorded", None)
    if recorded is None:
        raise TypeError(
            f"{type(value).__name__}() of a local queryset cannot be sent to a service: only querysets of mirror "
            "models can. Fetch the local values first: list(...)."
        )
    kwargs = dict(value.extra)
    if kind == "Subquery" and value.__dict__.get("output_field") is not None:
        kwargs["output_field"] = value.output_field
    frozen = Expr(kind, (recorded(),), _keywords(kind, kwargs))
    if is_negated(value):
        return Expr("NegatedExpression", (frozen,))
    return frozen


@freeze.register(NegatedExpression)
def _(value: Any) -> Expr:
    return Expr("NegatedExpression", (freeze(constructor_arguments(value)[0][0]),))


@freeze.register(WindowFrameExclusion)
def _(value: Any) -> str:
    return str(value.value)


@freeze.register(expressions.Value)
def _(value: expressions.Value) -> Expr:
    """Return the value as its output field prepares it; the service has no fields and encoders of this project."""
    args, kwargs = constructor_arguments(value)
    field = args[1] if len(args) > 1 else kwargs.get("output_field")
    if field is None:
        return Expr(name_of(value), (freeze(value.value),))
    return Expr(name_of(value), (freeze(prepared_by(field, value.value)),), {"output_field": freeze(field)})


@freeze.register(expressions.OrderBy)
def _(value: expressions.OrderBy) -> Expr:
    # The constructor arguments may be out of date, since reverse_ordering() changes the expression in place.
    flags = {"descending": value.descending, "nulls_first": value.nulls_first, "nulls_last": value.nulls_last}
    return Expr("OrderBy", (freeze(value.expression),), {key: True for key, on in flags.items() if on})


if TupleLookupMixin is not None:
    freeze.register(TupleLookupMixin, tuple_condition)


@freeze.register(expressions.When)
def _(value: expressions.When) -> Expr:
    return Expr("When", (freeze(value.condition), freeze(value.result)))


@freeze.register(models.FilteredRelation)
def _(value: models.FilteredRelation) -> Expr:
    return Expr("FilteredRelation", (value.relation_name,), {"condition": freeze(value.condition)})


@freeze.register(models.Prefetch)
def _(value: models.Prefetch) -> Expr:
    kwargs: dict[str, Any] = {}
    if value.queryset is not None:
        freeze(value.queryset)  # raise for a queryset of a local model
        kwargs["queryset"] = value.queryset.__rpc_node__()
    if value.to_attr:
        kwargs["to_attr"] = value.to_attr
    return Expr("Prefetch", (value.prefetch_through,), kwargs)


@freeze.register(Field)
def _(value: Field) -> Expr:
    while value.is_relation and value.remote_field:
        value = value.target_field
    name = type(value).__name__
    if type(value).__module__.startswith("django.contrib.postgres.") and POSTGRES + name in OUTPUT_FIELDS:
        keywords = {key: freeze(getattr(value, key)) for key in sorted(OUTPUT_FIELDS[POSTGRES + name] - {"null"})}
        return Expr(POSTGRES + name, (), {key: item for key, item in keywords.items() if item is not None})
    if name not in FIELDS or not type(value).__module__.startswith("django.db.models"):
        name = value.get_internal_type()
    if name not in FIELDS or writes_own_sql(type(value)):
        raise TypeError(
            f"The output field {type(value).__name__} cannot be sent to a service; use one of Django's own."
        )
    options = {key: getattr(value, key, None) for key in sorted(FIELDS[name] - {"null"})}
    return Expr(name, (), {key: item for key, item in options.items() if item not in (None, _DEFAULTS.get(key))})


@freeze.register(QuerySet)
def _(value: QuerySet) -> Node:
    if not hasattr(value.query, "recorded"):
        raise TypeError(
            f"A queryset of the local model {value.model.__name__} cannot be nested in a remote query: "
            "its tables are in another database. Fetch its values first: list(queryset)."
        )
    return value.query.nested(using_of(value))


@freeze.register(Query)
def _(value: Query) -> Node:
    return freeze(QuerySet(value.model, value))


@freeze.register(models.Model)
def _(value: models.Model) -> Reference | Node:
    options = options_of(type(value))
    if options is None:
        raise TypeError(
            f"{value!r} is an instance of the local model {type(value).__name__}, which no service knows. "
            "Pass one of its values instead (its pk)."
        )
    if value.pk is None or (isinstance(value.pk, tuple) and None in value.pk):
        raise ValueError(
            f"Model instances passed to related filters must be saved. {value!r} is not saved yet: it has no key "
            "that a service could find it by."
        )
    if isinstance(value.pk, Pending):  # the row exists when the service evaluates the message of the block
        alias = value._state.db or options.database
        return Method(
            ModelSource(options.label, alias, base=True), "get", (), {"pk": freeze(value.pk)}, where=callsite()
        )
    connection = connections[options.database]
    parts = key_fields(type(value))
    key = tuple([freeze(stored_value(part, getattr(value, part.attname), connection)) for part in parts])
    return Reference(options.label, key if len(key) > 1 else key[0])


# Conversion for the local query


def materialize_iterators(value: Any) -> Any:
    """Return ``value`` with iterators read into lists, and with lazy objects (such as ``request.user``) replaced.

    Both are replaced at any depth of containers and Q, so that each iterator is read only once.
    """
    kind = type(value)
    if kind in ATOMS or (kind in DATA and not value):
        return value
    if isinstance(value, LazyObject):
        value = unwrapped(value)
    if isinstance(value, BaseExpression | Combinable | QuerySet | models.Model):
        return value
    if hasattr(value, "__next__"):
        return [materialize_iterators(item) for item in value]
    if type(value) in (tuple, list, dict):
        return map_children(value, materialize_iterators)
    if isinstance(value, Q) and any(_has_iterator(child) for child in value.children):
        return _rebuild(value, materialize_iterators)
    return value


def _has_iterator(child: Any) -> bool:
    if isinstance(child, tuple):
        return isinstance(child[1], LazyObject) or hasattr(child[1], "__next__")
    return isinstance(child, Q) and any(_has_iterator(inner) for inner in child.children)


def to_local_query(value: Any) -> Any:
    """Return ``value`` with a `Placeholder` for each `Delayed` or future; the same object where it contains neither."""
    kind = type(value)
    if kind in ATOMS or kind is models.F:
        return value
    if isinstance(value, QuerySet):
        return value
    if isinstance(value, Q):
        changed = [to_local_query(child) for child in value.children]
        return value if all(map(_same, changed, value.children)) else _rebuild(value, to_local_query)
    if kind in DATA:
        return value if not value else map_leaves(value, to_local_query, DATA)
    if isinstance(value, BaseExpression):
        return _to_local_expression(value)
    if isinstance(value, models.FilteredRelation):  # annotate() changes it in place
        return models.FilteredRelation(value.relation_name, condition=to_local_query(value.condition))
    if getattr(kind, "__rpc_node__", None) is not None:
        local = getattr(value, "__rpc_local__", None)
        return local() if local is not None else Placeholder()
    if isinstance(value, models.Model) and isinstance(value.pk, Pending):
        return Placeholder()
    return value


def _to_local_expression(value: BaseExpression) -> BaseExpression:
    if isinstance(value, expressions.Value):
        local = to_local_query(value.value)
        return value if local is value.value else local
    sources = value.get_source_expressions()
    local = [item if item is None else to_local_query(item) for item in sources]
    if all(map(_same, local, sources)):
        return value
    clone = value.copy()
    clone.set_source_expressions(local)
    return clone


def _same(one: Any, other: Any) -> bool:
    return one is other


def _rebuild(value: Q, change: Any) -> Q:
    children = [(c[0], change(c[1])) if isinstance(c, tuple) else change(c) for c in value.children]
    return new_q(children, value.connector, value.negated)


def is_database_default(value: Any) -> bool:
    """Return True for the value of a field with ``db_default``, which the service fills (since Django 5.0)."""
    return isinstance(value, BaseExpression) and type(value).__name__ == "DatabaseDefault"


def prepared_value(field: Field, value: Any, connection: Any) -> Any:
    """Return the wire's form of ``value`` for ``field``: expressions and references frozen, data prepared."""
    if isinstance(value, BaseExpression) and any(isinstance(part, expressions.Window) for part in value.flatten()):
        raise FieldError(f"Window expressions are not allowed in this query ({field.name}={value!r}).")
    if isinstance(value, models.Model):
        value = value.prepare_database_save(field) if field.remote_field else text_of(field, value)
    if isinstance(value, models.Model) or hasattr(type(value), "__rpc_node__") or hasattr(value, "resolve_expression"):
        return freeze(value)
    prepared = field.get_db_prep_save(value, connection=connection)
    return sent_key(prepared) if is_content_type(field) else freeze(prepared)
