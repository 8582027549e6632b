"""Methods that return a value, after ``future()``. Their arguments are checked before the message is sent."""

from __future__ import annotations

import functools
from typing import Any

from django.db.models import QuerySet

from django_rpc.backend.django_compat import check_expressions
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import Method, callsite
from django_rpc.graph.values import freeze
from django_rpc.models.expressions import materialize_iterators
from django_rpc.models.instances import as_model, deleted_labels

__all__ = ["delayed_terminal"]


def delayed_terminal(queryset: Any, name: str, args: Any, kwargs: Any) -> Delayed:
    """Return a Delayed of ``queryset.name(*args, **kwargs)``; raise Django's errors for wrong names at once."""
    args, kwargs = materialize_iterators(args), materialize_iterators(kwargs)
    if name == "get" and (args or kwargs):
        if queryset.query.combinator:
            QuerySet.get(queryset, *args, **kwargs)  # raises NotSupportedError
        queryset, args, kwargs = queryset.filter(*args, **kwargs), (), {}
    elif name == "aggregate":
        check_expressions(queryset, (*args, *kwargs.values()), "aggregate")
        named = {expression.default_alias: expression for expression in args}
        queryset.query._validate_aggregates({**named, **kwargs})
    elif name in ("earliest", "latest") and args:
        queryset.order_by(*args)
    node = Method(queryset.__rpc_node__(), name, freeze(args), freeze(kwargs), where=callsite())
    if name == "delete":
        return Delayed(node, functools.partial(deleted_labels, queryset.db))
    return Delayed(node, functools.partial(as_model, queryset.model))
