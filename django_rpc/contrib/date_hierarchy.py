"""Dates for Django's ``date_hierarchy``, loaded by the message that loads the rows of a change list.

The template queries the first and the last date, and then the years, or the months of a single year. A list of the
months contains all of these.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import get_fields_from_path
from django.db.models import DateTimeField, Max, Min

from django_rpc.backend.django_compat import copy_as

__all__ = ["DateHierarchy"]


class DateHierarchy:
    """Queries of the ``date_hierarchy`` of one change list; no queries for a change list without it."""

    def __init__(self, change_list: Any) -> None:
        self.name = change_list.date_hierarchy
        self.kind = ""
        if self.name:
            chosen = [part for part in ("year", "month", "day") if change_list.params.get(f"{self.name}__{part}")]
            # The start page and a year list months, a month lists days, and a day lists nothing.
            self.kind = {(): "month", ("year",): "month", ("year", "month"): "day"}.get(tuple(chosen), "")
            self.at_start = not chosen
            field = get_fields_from_path(change_list.model, self.name)[-1]
            self.method = "datetimes" if isinstance(field, DateTimeField) else "dates"

    def queries(self, queryset: Any) -> list[Any]:
        """Return the queries to send; `with_results` takes their results."""
        if not self.kind:
            return []
        queries = [getattr(queryset, self.method)(self.name, self.kind)]
        if self.at_start:
            queries.append(queryset.delayed().aggregate(first=Min(self.name), last=Max(self.name)))
        return queries

    def with_results(self, queryset: Any, results: list[Any]) -> Any:
        """Return a copy of ``queryset`` that answers the queries of the template without a message."""
        if not self.kind:
            return queryset
        dates, *bounds = results
        loaded: dict[Any, Any] = {(self.method, self.name, self.kind): dates}
        if bounds:
            loaded["bounds"] = bounds[0]
            loaded[self.method, self.name, "year"] = list({date.year: date.replace(month=1) for date in dates}.values())
        kind = type(f"Loaded{type(queryset).__name__}", (_LoadedDates, type(queryset)), {})
        copy = copy_as(kind, queryset)
        copy.loaded_dates = loaded
        return copy


class _LoadedDates:
    """Mixin of a queryset with loaded dates. Copies by ``filter()`` and other methods send queries again."""

    loaded_dates: dict[Any, Any] = {}

    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        bounds = self.loaded_dates.get("bounds")
        if bounds is not None and not args and kwargs.keys() == {"first", "last"}:
            return dict(bounds)
        return super().aggregate(*args, **kwargs)  # type: ignore[misc]  # a mixin of QuerySet

    def dates(self, field_name: str, kind: str, order: str = "ASC") -> Any:
        return self._dates("dates", field_name, kind, order=order)

    def datetimes(self, field_name: str, kind: str, order: str = "ASC", **more: Any) -> Any:
        return self._dates("datetimes", field_name, kind, order=order, **more)

    def _dates(self, method: str, field_name: str, kind: str, **more: Any) -> Any:
        dates = self.loaded_dates.get((method, field_name, kind))
        if dates is not None and more == {"order": "ASC"}:
            return dates
        return getattr(super(), method)(field_name, kind, **more)
