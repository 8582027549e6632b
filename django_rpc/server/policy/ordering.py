"""``Meta.ordering`` of the service's models: the parts that a client may order by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q
from django.db.models.expressions import OuterRef, RawSQL, Subquery

from django_rpc.server.django_compat import BaseExpression
from django_rpc.server.policy.client_policy import Policy, Use

__all__ = ["may_order_by"]


class _Unclear(Exception):
    """The fields that an expression uses are not known."""


def may_order_by(policy: Policy, opts: Any, item: Any) -> bool:
    """Return True if the client may use all fields in ``item``, which is a part of an ordering from ``opts``.

    The order of rows reveals the values that they are ordered by. An expression with unknown fields is hidden too.
    """
    try:
        return all(
            policy.blocked(name.lstrip("-+").split("__"), opts, use=Use.ANY) is None
            for name in _names(item)
            if name != "?"
        )
    except _Unclear:
        return False


def _names(item: Any) -> Iterator[str]:
    """Yield the names of fields in an expression that is not resolved."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, F) and not isinstance(item, OuterRef):
        yield item.name
    elif isinstance(item, Q):
        for child in item.children:
            name, value = child if isinstance(child, tuple) else (None, child)
            if name is not None:
                yield name
            if hasattr(value, "resolve_expression"):
                yield from _names(value)
    elif _is_plain(item):
        for part in item.get_source_expressions():
            if part is not None:
                yield from _names(part)
    else:
        raise _Unclear


def _is_plain(item: Any) -> bool:
    """Return True if the SQL of an expression is Django's, with only the fields of its parts."""
    return (
        isinstance(item, BaseExpression)
        and not isinstance(item, RawSQL | Subquery)
        and type(item).__module__.startswith("django.")
        and "template" not in getattr(item, "extra", ())
    )
