"""A remote query within a local query, as in ``LocalUser.objects.filter(pk__in=Order.objects.values("owner"))``.

No database can join both. When the local query is evaluated, one message loads the values of the remote query.
"""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError

__all__ = ["as_values"]


def as_values(query: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
    """Return SQL of ``connection`` for the rows of ``query`` (`RpcQuery`): ``(%s, %s, ...)`` and the values.

    Raise NotSupportedError for rows with several columns, and for a query with an `OuterRef` to the local query.
    """
    compiler = query.get_compiler(query.database)
    rows = list(compiler.results_iter(tuple_expected=True))
    if len(compiler.select) != 1:
        raise NotSupportedError(
            f"A query on {query.model.__name__}, a mirror, has {len(compiler.select)} columns: in a query of the local "
            f"database {connection.alias!r} only one column can be used. Use values() with one field."
        )
    field = compiler.select[0][0].output_field
    values = tuple([field.get_db_prep_value(value, connection, prepared=False) for (value,) in rows])
    if not values:
        return f"(SELECT NULL{connection.features.bare_select_suffix} WHERE 1 = 0)", ()
    return f"({', '.join(['%s'] * len(values))})", values
