"""A remote query that stands in a local one, as in ``LocalUser.objects.filter(pk__in=Order.objects.values("owner"))``.

No database can join both, but a column of values can be fetched first: in one message, when the local query is
evaluated.
"""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError

__all__ = ["as_values"]


def as_values(query: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
    """SQL of ``connection`` that stands for the rows of ``query`` (`RpcQuery`): ``(%s, %s, ...)`` and its values.

    Raises NotSupportedError where a row is not one value, or depends on the local query around it (`OuterRef`).
    """
    compiler = query.get_compiler(query.database)
    rows = list(compiler.results_iter(tuple_expected=True))
    if len(compiler.select) != 1:
        raise NotSupportedError(
            f"A query on {query.model.__name__}, a mirror, has {len(compiler.select)} columns: in a query of the local "
            f"database {connection.alias!r} it can stand for one. Use values() with one field."
        )
    field = compiler.select[0][0].output_field
    values = tuple([field.get_db_prep_value(value, connection, prepared=False) for (value,) in rows])
    if not values:
        return f"(SELECT NULL{connection.features.bare_select_suffix} WHERE 1 = 0)", ()
    return f"({', '.join(['%s'] * len(values))})", values
