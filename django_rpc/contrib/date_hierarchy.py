"""What Django's ``date_hierarchy`` asks of a change list, asked beforehand: in the message that brings the rows.

The template asks for the first and the last date, and then for the years, or for the months where there is one year.
A list of the months answers both.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import get_fields_from_path
from django.db.models import DateTimeField, Max, Min

__all__ = ["DateQuestions"]


class DateQuestions:
    """The questions of one change list; none where it has no ``date_hierarchy``, or asks for nothing."""

    def __init__(self, change_list: Any) -> None:
        self.name = change_list.date_hierarchy
        self.kind = ""
        if self.name:
            chosen = [part for part in ("year", "month", "day") if change_list.params.get(f"{self.name}__{part}")]
            # At the start, and in a year, its months; in a month, its days; of a day, nothing more.
            self.kind = {(): "month", ("year",): "month", ("year", "month"): "day"}.get(tuple(chosen), "")
            self.at_start = not chosen
            field = get_fields_from_path(change_list.model, self.name)[-1]
            self.method = "datetimes" if isinstance(field, DateTimeField) else "dates"

    def of(self, queryset: Any) -> list[Any]:
        """What is to be asked of the change list's queryset, for `knowing` to be given the answers."""
        if not self.kind:
            return []
        asked = [getattr(queryset, self.method)(self.name, self.kind)]
        if self.at_start:
            asked.append(queryset.delayed().aggregate(first=Min(self.name), last=Max(self.name)))
        return asked

    def knowing(self, queryset: Any, answers: list[Any]) -> Any:
        """The same queryset, which answers the template's questions by itself; other questions it sends as ever."""
        if not self.kind:
            return queryset
        dates, *bounds = answers
        known: dict[Any, Any] = {(self.method, self.name, self.kind): dates}
        if bounds:
            known["bounds"] = bounds[0]
            known[self.method, self.name, "year"] = list({date.year: date.replace(month=1) for date in dates}.values())
        clone = queryset._chain()
        clone.__class__ = type(f"Knowing{type(queryset).__name__}", (_Knowing, type(queryset)), {})
        clone.known_dates = known
        return clone


class _Knowing:
    """Mixed into a queryset's class.  What is made of it by ``filter()`` and the like knows nothing."""

    known_dates: dict[Any, Any] = {}

    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        known = self.known_dates.get("bounds")
        if known is not None and not args and kwargs.keys() == {"first", "last"}:
            return dict(known)
        return super().aggregate(*args, **kwargs)  # type: ignore[misc]

    def dates(self, field_name: str, kind: str, order: str = "ASC") -> Any:
        return self._known("dates", field_name, kind, order=order)

    def datetimes(self, field_name: str, kind: str, order: str = "ASC", **more: Any) -> Any:
        return self._known("datetimes", field_name, kind, order=order, **more)

    def _known(self, method: str, field_name: str, kind: str, **more: Any) -> Any:
        known = self.known_dates.get((method, field_name, kind))
        if known is not None and more == {"order": "ASC"}:
            return known
        return getattr(super(), method)(field_name, kind, **more)
