"""Cache of the columns that plain queries of one table select, with their SQL and converters.

Django computes these for each query, which is a fifth of the time of a query for one row. They depend on the model,
the selected names and the connection. The permission of the client for the columns is checked for each query.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django_rpc.server.django_compat import Col, selected_names

__all__ = ["CachedSelect", "is_nested", "key_of", "selections_of"]

#: Entries of a connection. Clients request the fields of their mirrors, so there are few.
_MAX_ENTRIES = 500


class CachedSelect(NamedTuple):
    """The result of ``get_select()``, the names of the table's columns in it, and the rows' converters."""

    select: list[Any]
    klass_info: Any
    annotations: dict[str, int]
    columns: frozenset[str]
    converters: dict[bool, Any]  # by whether fields convert their values (``from_db_value``)


def is_nested(query: Any) -> bool:
    """Return True for a subquery, an arm of a union, a union, and a query of distinct rows."""
    attributes = query.__dict__
    nested = query.subquery and "within_qualify" not in attributes
    return bool(nested or query.combinator or query.distinct or attributes.get("is_arm"))


def key_of(query: Any, trusted: bool) -> Any:
    """Return the key of a plain query in the cache; None for any other query.

    A query without names leaves out hidden columns, so its key has the columns of the client, too.
    """
    model = query.model
    if query.annotations or query.extra or query.select_related or is_nested(query):
        return None
    if "within_qualify" in query.__dict__:
        return None
    if query.get_initial_alias() != model._meta.db_table:
        return None
    if query.default_cols:
        names, deferred = query.deferred_loading
        return model, frozenset(names), deferred, trusted or query.policy.columns(model._meta.db_table)
    if not all(type(expression) is Col for expression in query.select):
        return None
    selected = selected_names(query)
    columns = tuple([(column.alias, column.target.column) for column in query.select])
    return model, columns, tuple(selected.items()) if selected else None, trusted


def selections_of(connection: Any) -> dict[Any, CachedSelect]:
    """Return the entries of ``connection``; their converters are bound to it."""
    selections: dict[Any, CachedSelect] = connection.__dict__.setdefault("_rpc_selections", {})
    if len(selections) > _MAX_ENTRIES:
        selections.clear()
    return selections
