"""Conversion of a client's expressions, conditions and references to Django's objects, by closed tables.

Each name of a class is looked up in `CLASSES` or `FIELDS`. These tables are built here from a fixed list of modules,
and a message cannot add to them. A constructor gets only the keywords that the vocabulary allows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from django.db import models
from django.db.models import Q, expressions, functions, lookups
from django.db.models.fields import json

from django_rpc.graph.nodes import KINDS, Node
from django_rpc.graph.values import ATOMS, Condition, Expr, Reference
from django_rpc.graph.vocabulary.names import EXPRESSIONS, LOOKUPS, OUTPUT_FIELDS, OWN, POSTGRES
from django_rpc.graph.vocabulary.names import FIELDS as FIELD_NAMES
from django_rpc.graph.vocabulary.signatures import check_expression
from django_rpc.graph.walk import DATA, map_children
from django_rpc.server.django_compat import frame_exclusion
from django_rpc.server.policy.references import holds_instance, is_instance
from django_rpc.server.query import postgres

__all__ = ["CLASSES", "FIELDS", "RESOLVERS", "Resolver"]

#: Django's general lookups. The lookups of special fields (years, integers) have the same names.
_LOOKUP_CLASSES = {
    name: cls
    for name, cls in models.Field.class_lookups.items()
    if name in LOOKUPS and cls.__module__ == lookups.__name__
}


def _find(name: str) -> Any:
    if name.startswith(POSTGRES):
        return None  # see `postgres.class_of`
    if name.startswith("lookup:"):
        return _LOOKUP_CLASSES.get(name.removeprefix("lookup:"))
    for module in (models, expressions, functions, functions.text, json):
        member = vars(module).get(name)
        if isinstance(member, type) and member.__module__.startswith("django."):
            return member
    return None


def _without_items(cls: type[models.F]) -> type[models.F]:
    """Return a subclass of ``cls`` without items; it is equal to ``cls``.

    ``F("name")[0]`` is a valid slice in Django. So ``list(F("name"))`` would not end. ``__iter__ = None`` is no
    solution, because Django iterates over each object with that attribute.
    """

    def equal(self: models.F, other: object) -> bool:
        return isinstance(other, models.F) and type(other) in (cls, made) and self.name == other.name

    def item(self: models.F, key: object) -> None:
        raise TypeError(f"'{cls.__name__}' object is not iterable")

    made: type[models.F] = type(cls.__name__, (cls,), {"__getitem__": item, "__eq__": equal, "__hash__": cls.__hash__})
    return made


#: Expressions of the vocabulary that this release of Django has.
CLASSES: dict[str, Any] = {name: cls for name in EXPRESSIONS if (cls := _find(name)) is not None}
CLASSES.update({name: _without_items(CLASSES[name]) for name in ("F", "OuterRef")})
#: Fields that may be output fields.
FIELDS: dict[str, type[models.Field]] = {name: getattr(models, name) for name in FIELD_NAMES}


@functools.cache
def _keywords(cls: Any) -> frozenset[str] | None:
    """Return the keywords that a constructor may receive; None if the constructor itself refuses other keywords.

    A function or a subquery takes any other keyword as a variable of its SQL template. So these classes get only
    the keywords that they and their bases name.
    """
    if not issubclass(cls, expressions.Func | expressions.Subquery | expressions.Case):
        return None
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and issubclass(base, expressions.BaseExpression):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return frozenset(names - {"self"})


class Resolver:
    """Converts an argument to the value that Django's method is called with.

    - ``values``: the value of each node that an argument may refer to.
    - ``special``: functions by name, for expressions that need the policy.
    - ``registered``: classes that the service registered, by name.

    A `Reference` is returned as it is. The method that receives the argument resolves it, if it accepts instances.
    """

    __slots__ = ("registered", "special", "values")

    def __init__(
        self,
        values: dict[Any, Any],
        special: dict[str, Callable[[Expr], Any]] | None = None,
        registered: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.values = values
        self.special = special or {}
        self.registered = registered

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        try:
            resolve = RESOLVERS[kind]
        except KeyError:
            raise TypeError(f"A value of type {kind.__name__} cannot be an argument.") from None
        return resolve(self, value)

    def args(self, values: tuple[Any, ...]) -> list[Any]:
        return [value if type(value) in ATOMS else self(value) for value in values]

    def kwargs(self, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value if type(value) in ATOMS else self(value) for key, value in values.items()}


def _node(resolve: Resolver, node: Any) -> Any:
    return resolve.values[node]


def _condition(resolve: Resolver, value: Condition) -> Q:
    children = [
        (child[0], resolve(child[1])) if isinstance(child, tuple) else resolve(child) for child in value.children
    ]
    if any(is_instance(child) for child in children):
        raise TypeError("A condition is made of lookups, conditions and expressions, and not of instances.")
    condition = Q()
    condition.children = children
    condition.connector = value.connector
    condition.negated = value.negated
    return condition


def _expression(resolve: Resolver, value: Expr) -> Any:
    name = value.name
    special = resolve.special.get(name)
    if special is not None:
        _refuse_instances(name, value.args, value.kwargs)
        return special(value)
    if name in OUTPUT_FIELDS:
        allowed = OUTPUT_FIELDS[name]
        if value.args or not value.kwargs.keys() <= allowed:
            raise ValueError(f"{name} as an output field takes only {', '.join(sorted(allowed))}.")
        cls = FIELDS[name] if name in FIELDS else postgres.class_of(name)
        return cls(**resolve.kwargs(value.kwargs))
    if name.startswith(OWN):
        return _own(resolve, value)
    allowed = EXPRESSIONS.get(name, frozenset())
    cls = postgres.class_of(name) if name.startswith(POSTGRES) else CLASSES.get(name)
    if name != "JSONObject" and not value.kwargs.keys() <= allowed:
        raise ValueError(f"{name} takes only {', '.join(sorted(allowed)) or 'no keywords'}.")
    if cls is None:
        maker = _MAKERS.get(name)
        if maker is None:
            raise ValueError(f"{name} is not an expression of this service's release of Django.")
        return maker(*_arguments(resolve, value))
    args, kwargs = _arguments(resolve, value)
    _check_references(value, args, kwargs)
    if name in _MAKERS:
        return _MAKERS[name](args, kwargs)
    return _construct(cls, args, kwargs)


def _own(resolve: Resolver, value: Expr) -> Any:
    name = value.name.removeprefix(OWN)
    cls = resolve.registered.get(name)
    if cls is None:
        raise ValueError(f"{name} is not an expression that this service registered.")
    return _construct(cls, *_arguments(resolve, value))


def _arguments(resolve: Resolver, value: Expr) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = resolve.args(value.args), resolve.kwargs(value.kwargs)
    _refuse_instances(value.name, args, kwargs)
    return args, kwargs


def _refuse_instances(name: str, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise TypeError for an instance in the arguments of an expression: SQL would contain the text of the instance."""
    if holds_instance((*args, *kwargs.values())):
        raise TypeError(f"{name.removeprefix(OWN)} takes values and expressions, and no instance of a model.")


def _check_references(value: Expr, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Check a name that is the value of another node with the same rules as a name in the message."""
    if any(type(part) is str for part in (*args, *kwargs.values())):
        arguments = tuple([_named(part, resolved) for part, resolved in zip(value.args, args, strict=True)])
        check_expression(
            Expr(value.name, arguments, {key: _named(part, kwargs[key]) for key, part in value.kwargs.items()})
        )


def _named(argument: Any, resolved: Any) -> Any:
    return resolved if isinstance(argument, Node) and type(resolved) is str else argument


def _construct(cls: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    keywords = _keywords(cls)
    if keywords is not None and not kwargs.keys() <= keywords:
        if "expression" in kwargs and "expression" not in keywords:
            args = [kwargs.pop("expression"), *args]
        # A function of Django uses an unknown keyword as a variable of its SQL template.
        for keyword in kwargs.keys() - keywords:
            if kwargs[keyword] is not None:
                raise TypeError(f"{cls.__name__} takes no keyword {keyword!r} in this service's release of Django.")
            del kwargs[keyword]
    return cls(*args, **kwargs)


def _order_by(args: list[Any], kwargs: dict[str, Any]) -> Any:
    expression = args[0] if args else kwargs.pop("expression")
    if isinstance(expression, str):
        expression = models.F(expression)
    flags = {key: True for key, on in kwargs.items() if on}
    return expressions.OrderBy(expression, *args[1:], **flags)


def _when(args: list[Any], kwargs: dict[str, Any]) -> Any:
    arguments = dict(zip(("condition", "then"), args, strict=False)) | kwargs
    return expressions.When(arguments.get("condition"), then=arguments.get("then"))


def _negated(args: list[Any], kwargs: dict[str, Any]) -> Any:
    return ~(args[0] if args else kwargs["expression"])


def _json_object(args: list[Any], kwargs: dict[str, Any]) -> Any:
    return functions.JSONObject(**kwargs)


def _filtered_relation(args: list[Any], kwargs: dict[str, Any]) -> Any:
    arguments = dict(zip(("relation_name", "condition"), args, strict=False)) | kwargs
    return models.FilteredRelation(arguments["relation_name"], condition=arguments.get("condition", Q()))


def _nested(cls: Any) -> Callable[[list[Any], dict[str, Any]], Any]:
    def make(args: list[Any], kwargs: dict[str, Any]) -> Any:
        queryset = args[0] if args else kwargs.pop("queryset")
        if not isinstance(queryset, models.QuerySet):
            raise TypeError(f"{cls.__name__} takes a query; it was given {type(queryset).__name__}.")
        return _construct(cls, [queryset], kwargs)

    return make


def _frame(cls: Any) -> Callable[[list[Any], dict[str, Any]], Any]:
    def make(args: list[Any], kwargs: dict[str, Any]) -> Any:
        exclusion = kwargs.pop("exclusion", None)
        if exclusion is not None:
            kwargs["exclusion"] = frame_exclusion(exclusion)
        return cls(*args, **kwargs)

    return make


def _key_path(args: list[Any], kwargs: dict[str, Any]) -> Any:
    return json.KT(*args)


def _array_subquery(args: list[Any], kwargs: dict[str, Any]) -> Any:
    return _nested(postgres.class_of(f"{POSTGRES}ArraySubquery"))(args, kwargs)


_MAKERS: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
    **postgres.MAKERS,
    f"{POSTGRES}ArraySubquery": _array_subquery,
    "KT": _key_path,
    "OrderBy": _order_by,
    "When": _when,
    "NegatedExpression": _negated,
    "JSONObject": _json_object,
    "FilteredRelation": _filtered_relation,
    "RowRange": _frame(expressions.RowRange),
    "Subquery": _nested(expressions.Subquery),
    "ValueRange": _frame(expressions.ValueRange),
    "Exists": _nested(expressions.Exists),
}


def _container(resolve: Resolver, value: Any) -> Any:
    return map_children(value, lambda item: item if type(item) in ATOMS else resolve(item))


#: Converters of arguments by type; atoms are not converted.
RESOLVERS: dict[type, Callable[[Resolver, Any], Any]] = {
    **dict.fromkeys(KINDS.values(), _node),
    Expr: _expression,
    Condition: _condition,
    Reference: lambda resolve, value: value,
    **dict.fromkeys(DATA, _container),
}
