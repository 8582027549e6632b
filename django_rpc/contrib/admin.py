"""The admin's change list in one message.

Mirrors work in a plain ``ModelAdmin``, whose change list asks as often as it does of a local database: for the
number of rows that match, of all rows, for the rows of the page, and twice for its ``date_hierarchy``.  With this class
all go together:

>>> class OrderAdmin(RpcModelAdmin):
...     list_display = ["number", "customer", "total"]
>>> admin.AdminSite().register(Order, OrderAdmin)
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import InvalidPage
from django.db import connections

from django_rpc.contrib.date_hierarchy import DateQuestions

__all__ = ["RpcChangeList", "RpcModelAdmin"]


class RpcChangeList(ChangeList):
    """A ChangeList with its counts, its page and its dates in one message."""

    queryset: Any

    def apply_select_related(self, queryset: Any) -> Any:
        """Also nullable foreign keys of ``list_display``, each of which would be one message a row."""
        if self.list_select_related is False:
            names = [name for name in self.list_display if self._is_foreign_key(name)]
            return queryset.select_related(*names) if names else queryset
        return super().apply_select_related(queryset)

    def _is_foreign_key(self, name: Any) -> bool:
        try:
            field = self.lookup_opts.get_field(name)
        except FieldDoesNotExist:
            return False
        return bool(field.is_relation and field.concrete and not field.many_to_many)

    def get_results(self, request: Any) -> None:
        """What Django's own does; raises IncorrectLookupParameters for a page that is not there."""
        all_rows = bool(self.model_admin.show_full_result_count)
        size = self.list_max_show_all if self.show_all else self.list_per_page
        start = 0 if self.show_all else max(self.page_num - 1, 0) * size
        page = self.queryset._clone()[start : start + size]
        counts = [self.queryset.delayed().count(), *([self.root_queryset.delayed().count()] if all_rows else [])]
        dates = DateQuestions(self)
        asked = [page, *counts, *dates.of(self.queryset)]
        page, *answers = connections[self.queryset.db].cursor().gather(*asked)
        count, *full = answers[: len(counts)]
        self.queryset = dates.knowing(self.queryset, answers[len(counts) :])
        if self.show_all and count > self.list_max_show_all:  # "show all" of too many is the first page
            page = page[: self.list_per_page]
        paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        paginator.__dict__["count"] = count
        self.can_show_all = count <= self.list_max_show_all
        self.multi_page = count > self.list_per_page
        if self.multi_page and not (self.show_all and self.can_show_all):
            try:
                paginator.validate_number(self.page_num)
            except InvalidPage:
                raise IncorrectLookupParameters from None
        self.result_count = count
        self.show_full_result_count = all_rows
        self.full_result_count = full[0] if full else None
        self.show_admin_actions = not all_rows or bool(full[0])
        self.result_list = page
        self.paginator = paginator


class RpcModelAdmin(admin.ModelAdmin):
    """A ModelAdmin whose change list is one message."""

    def get_changelist(self, request: Any, **kwargs: Any) -> type[ChangeList]:
        return RpcChangeList
