"""Checks of all writes: the values that a client assigns to fields, and the rows that were written.

`save`, `writes` and the managers of `relations` use these checks. Before a write, they check the permission for each
field, the targets of foreign keys, and expressions. After it, within the transaction, they check that the client can
still see the rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import EmptyResultSet, PermissionDenied, ValidationError
from django.db import router
from django.db.models import Model, Subquery

from django_rpc.server.django_compat import BaseExpression, Col, Query
from django_rpc.server.evaluate import generic_foreign_keys as generic
from django_rpc.server.evaluate import parents
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.policy.references import MissingRow
from django_rpc.server.registry.exposure import Exposure

__all__ = [
    "batches",
    "check_expression",
    "check_key",
    "check_target",
    "check_writable",
    "column_value",
    "confirm",
    "read_only",
]

#: Number of keys in one statement, below the limit of each database.
_BATCH = 500


def check_writable(exposure: Exposure, names: Iterable[str], unknown: Callable[[str], Exception]) -> None:
    """Raise ``unknown(name)`` for a name that the client does not see, PermissionDenied for a read-only name."""
    for name in names:
        if name not in exposure.names and name not in exposure.writable:
            raise unknown(name)
        if name not in exposure.writable:
            raise read_only(exposure, name)


def read_only(exposure: Exposure, name: str) -> PermissionDenied:
    """Return the error for a field that the client may not set."""
    return PermissionDenied(f"{exposure.label}.{name} is read-only.")


def check_target(ev: Evaluator, field: Any, value: Any) -> None:
    """Raise ValidationError unless a foreign key may point to the row with this key.

    The link to a parent table is a key, which `parents.check_new_row` checks.
    """
    if value is None or not field.is_relation or not field.related_model or parents.is_link(field):
        return
    related = field.related_model
    rows = ev.policy.rows(related)
    target = field.target_field
    if ev.policy.view(related) is not None:
        if rows is None:
            return  # the database holds that the row is there
        if hasattr(value, "resolve_expression"):
            raise PermissionDenied(f"{field.model._meta.label}.{field.name} is set to a value, not to an expression.")
        if rows.filter(**{target.attname: value}).exists():
            return
    elif ev.references.knows_content_type(related, value):
        return
    raise _no_target(field, value)


def _no_target(field: Any, value: Any) -> ValidationError:
    related, target = field.related_model, field.target_field
    return ValidationError(
        "%(model)s instance with %(field)s %(value)r does not exist.",
        code="invalid",
        params={"model": related._meta.verbose_name, "pk": value, "field": target.attname, "value": value},
    )


def column_value(ev: Evaluator, field: Any, value: Any) -> Any:
    """Return ``value`` as the column of ``field`` holds it; an instance is replaced by the value of the foreign key."""
    try:
        return ev.references.assigned(value, field)
    except MissingRow:
        raise _no_target(field, ev.references.key(value)) from None


def check_expression(ev: Evaluator, model: type[Model], value: Any) -> None:
    """Check an expression that Django's ``save()`` will write, with the same checks as for an ``update()``.

    ``F("hidden")`` would copy a hidden value into a visible field. With multi-table inheritance, a name may belong to
    the parent's table, which is a join here. Django resolves the expression again, in the table that it updates, and
    refuses all joins.
    """
    if hasattr(value, "resolve_expression"):
        query = ev.objects(model).query.chain()
        query.get_initial_alias()
        compiler = query.get_compiler(using=router.db_for_write(model))
        with contextlib.suppress(EmptyResultSet):
            compiler.compile(value.resolve_expression(query, allow_joins=True, for_save=True))


def check_key(field: Any, value: Any) -> None:
    """Raise ValueError for a key that is an expression that reads rows.

    An expression without columns and queries, like ``Now()``, can only make the key of a new row, and the key that the
    database returns is checked. The keys of a model with parents are never expressions: see `parents.key_values`.
    """
    if field.primary_key and hasattr(value, "resolve_expression") and _reads_rows(value):
        raise ValueError(
            f"{field.model._meta.label}.{field.name} is a key: it is set to a value, or to an expression that reads "
            "no rows."
        )


def _reads_rows(value: Any) -> bool:
    """Return True if a part of ``value`` is a column or a query.

    All attributes are searched: the right side of a lookup is a source expression only if it is compiled to SQL.
    """
    seen: set[int] = set()
    stack = [value]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple | set | frozenset):
            stack.extend(part)
        elif isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, BaseExpression) and not isinstance(part, Subquery | Col | Query):
            stack.extend(vars(part).values())
        elif hasattr(part, "resolve_expression"):  # F, Q, a queryset, or a query
            return True
    return False


def confirm(ev: Evaluator, model: type[Model], keys: Iterable[Any], names: Iterable[str] = ()) -> None:
    """Check written rows by their primary ``keys``; an error rolls back the request.

    Raises PermissionDenied if the client does not see a row. Raises ValidationError if a generic foreign key among the
    written ``names`` points to a row that the client does not see.
    """
    keys = set(keys)
    _confirm_scope(ev, model, keys)
    generic.confirm_targets(ev, model, keys, names)


def _confirm_scope(ev: Evaluator, model: type[Model], keys: set[Any]) -> None:
    rows = ev.policy.rows(model)
    if rows is None:
        return
    if any(key is None or hasattr(key, "resolve_expression") for key in keys):
        raise PermissionDenied(f"The database returned no key of a {model._meta.label}, and its row cannot be checked.")
    parts = batches(sorted(keys, key=repr))
    seen = sum(rows.filter(pk__in=part).values("pk").distinct().count() for part in parts)
    if seen < len(keys):
        raise PermissionDenied(f"This client may not write a {model._meta.label} that it could not read.")


def batches(keys: list[Any]) -> list[list[Any]]:
    """Return ``keys`` in parts that fit into a statement."""
    return [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)]
