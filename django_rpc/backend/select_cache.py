"""What is selected by a plain query: the fields of one model, from its own table, and nothing else.

Django works it out anew for each query, for 100 us of a call's 2,000.  It depends on the model and on what is
deferred alone, so it is kept.  A query with an annotation, a relation or values of its own is no plain one.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

__all__ = ["Selection", "keep", "kept"]

#: Different sets of deferred fields of one model that are kept: a client cannot fill the memory with them.
_MOST = 100


class Selection(NamedTuple):
    """``select``, ``klass_info`` and ``annotation_col_map`` of a compiler, with the columns' names and converters."""

    select: list[Any]
    klass_info: dict[str, Any]
    annotation_col_map: dict[str, int]
    columns: tuple[str, ...]
    converters: dict[int, Any]


_kept: weakref.WeakKeyDictionary[Any, dict[Any, Selection]] = weakref.WeakKeyDictionary()


def _key(query: Any) -> Any:
    """What the selection of a plain query depends on; None for any other query."""
    if (
        not query.default_cols
        or query.annotations
        or query.extra
        or query.select_related
        or query.combinator
        or query.values_select
        or query.get_initial_alias() != query.model._meta.db_table
    ):
        return None
    names, deferred = query.deferred_loading
    return frozenset(names), deferred


def kept(query: Any) -> Selection | None:
    """The selection of ``query``, where one like it was kept."""
    key = _key(query)
    return None if key is None else _kept.get(query.model, {}).get(key)


def keep(query: Any, selection: Selection) -> None:
    """Keep the selection of ``query`` for the next one like it."""
    key = _key(query)
    if key is not None:
        of_model = _kept.setdefault(query.model, {})
        if len(of_model) < _MOST:
            of_model[key] = selection
