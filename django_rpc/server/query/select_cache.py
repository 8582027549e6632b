"""What plain queries select, kept: the columns of one table with their SQL and converters.

Django works this out anew for each query: a fifth of the time of a query for one row.  It depends on the model, on
the names that are selected, and on the connection.  What the client may see does not depend on it, and is checked
each time, all columns at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django_rpc.server.django_compat import Col, selected_names

__all__ = ["CachedSelect", "is_nested", "key_of", "selections_of"]

#: Selections that a connection keeps: clients ask for the fields of their mirrors, which are few.
_MOST = 500


class CachedSelect(NamedTuple):
    """The result of ``get_select()``, the names of the table's columns in it, and the rows' converters."""

    select: list[Any]
    klass_info: Any
    annotations: dict[str, int]
    columns: frozenset[str]
    converters: dict[bool, Any]  # by whether fields convert their values (``from_db_value``)


def is_nested(query: Any) -> bool:
    """Whether something else is made of what a query selects than its answer: another query, or distinct rows."""
    attributes = query.__dict__
    nested = query.subquery and "within_qualify" not in attributes
    return bool(nested or query.combinator or query.distinct or attributes.get("is_arm"))


def key_of(query: Any, trusted: bool) -> Any:
    """What the selection of a plain query depends on; None for any other query.

    Where no names are given, hidden columns are left out: then it depends on what the client may see, too.
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
    """The selections that were kept for ``connection``, whose converters are bound to it."""
    kept: dict[Any, CachedSelect] = connection.__dict__.setdefault("_rpc_selections", {})
    if len(kept) > _MOST:
        kept.clear()
    return kept
