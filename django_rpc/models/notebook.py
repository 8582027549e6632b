"""Display of a query in a notebook: a table of its first rows, loaded by one limited query."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Model

from django_rpc.backend.django_compat import clone, has_rows, rows_in_memory, selected_fields, selects_columns
from django_rpc.graph.format import describe, shorten

__all__ = ["NotebookTable"]

ROWS = 20  # in the table, as in Django's repr
_WIDTH = 60  # characters of a value
_STYLE = "text-align:left; vertical-align:top"


class NotebookTable:
    """Mixin of the querysets of mirrors."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the first rows as a table in HTML and in text; after an error, its text.

        Rows in memory are used. Otherwise one query is sent. A foreign key is shown by its key, so that no further
        query is sent.
        """
        queryset: Any = self
        try:
            title = describe(queryset.query.recorded(), 100)
            names, rows, more = _first_rows(queryset)
        except Exception as error:  # noqa: BLE001 - the text has the error; a notebook would show a traceback of its code
            return {"text/plain": f"<{type(self).__name__} without rows: {type(error).__name__}: {error}>"}
        return {"text/plain": _as_text(title, names, rows, more), "text/html": _as_html(title, names, rows, more)}


def _first_rows(queryset: Any) -> tuple[list[str], list[list[str]], bool]:
    """Return the names of the columns, the first rows as text, and True if there are more rows."""
    if has_rows(queryset):
        rows = rows_in_memory(queryset)[: ROWS + 1]
    else:
        plain = clone(queryset)
        plain._future = False
        rows = list(plain[: ROWS + 1])
    shown = rows[:ROWS]
    names = _names(queryset, shown)
    return names, [[_text(value) for value in _values(item, names)] for item in shown], len(rows) > ROWS


def _names(queryset: Any, rows: Sequence[Any]) -> list[str]:
    query = queryset.query
    first = rows[0] if rows else None
    if isinstance(first, Model) or (first is None and not selects_columns(queryset)):
        deferred = first.get_deferred_fields() if first is not None else ()
        attnames = [field.attname for field in queryset.model._meta.concrete_fields if field.attname not in deferred]
        return [*attnames, *query.annotation_select]
    if isinstance(first, dict):
        return list(first)
    names = [*query.values_select, *query.annotation_select]
    columns = getattr(first, "_fields", None)  # of a named tuple
    if columns is not None:
        return list(columns)
    width = len(first) if isinstance(first, tuple) else 1
    if len(names) == width or first is None:
        return names
    return (
        list(selected_fields(queryset)) if len(selected_fields(queryset)) == width else [str(n) for n in range(width)]
    )


def _values(item: Any, names: Sequence[str]) -> Iterable[Any]:
    if isinstance(item, Model):
        return [item.__dict__.get(name) for name in names]  # no attribute that would send a query
    if isinstance(item, dict):
        return [item.get(name) for name in names]
    return item if isinstance(item, tuple) else (item,)


def _text(value: Any) -> str:
    return shorten(str(value) if value is not None else "", _WIDTH)


def _as_text(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], more: bool) -> str:
    flat = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(names, *flat, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [names, *flat]]
    return "\n".join([title, *[line.rstrip() for line in lines], *([_more(rows)] if more else [])])


def _as_html(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], more: bool) -> str:
    head = "".join(f'<th style="{_STYLE}">{html.escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_STYLE}">{html.escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    foot = f"<p>{_more(rows)}</p>" if more else ""
    caption = f'<caption style="{_STYLE}"><code>{html.escape(title)}</code></caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}"


def _more(rows: Sequence[Any]) -> str:
    return f"… the first {len(rows)} rows; there are more"
