"""The admin's change list in one message.

Mirrors work in a plain ``ModelAdmin``. Its change list sends as many queries as to a local database: the number of
matching rows, the number of all rows, the rows of the page, and two queries for ``date_hierarchy``. This class sends
all of them in one message:

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

from django_rpc.backend.django_compat import clone
from django_rpc.contrib.date_hierarchy import DateHierarchy

__all__ = ["RpcChangeList", "RpcModelAdmin"]


class RpcChangeList(ChangeList):
    """A ChangeList with its counts, its page and its dates in one message."""

    queryset: Any

    def apply_select_related(self, queryset: Any) -> Any:
        """Also select nullable foreign keys of ``list_display``; otherwise each would be one message per row."""
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
        """Load the page and the counts; raises IncorrectLookupParameters for a page that does not exist."""
        all_rows = bool(self.model_admin.show_full_result_count)
        size = self.list_max_show_all if self.show_all else self.list_per_page
        start = 0 if self.show_all else max(self.page_num - 1, 0) * size
        page = clone(self.queryset)[start : start + size]
        counts = [self.queryset.delayed().count(), *([self.root_queryset.delayed().count()] if all_rows else [])]
        dates = DateHierarchy(self)
        queries = [page, *counts, *dates.queries(self.queryset)]
        page, *results = connections[self.queryset.db].cursor().gather(*queries)
        count, *full = results[: len(counts)]
        self.queryset = dates.with_results(self.queryset, results[len(counts) :])
        if self.show_all and count > self.list_max_show_all:  # too many rows for "show all": the first page
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
