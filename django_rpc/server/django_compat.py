"""Private and undocumented names of Django that the server uses, and the releases that support each name.

The rest of the server reads these names only through this module. `PRIVATE_NAMES` lists attributes and methods, also
those that `ClientQuery` and `AuditedCompiler` override. The functions below hide the differences between releases.
tests/server/test_django_compat.py has a contract test for each entry, and tests/versions runs it with each release.
"""

from __future__ import annotations

import inspect
from typing import Any

import django
from django.db import connections
from django.db.models import NOT_PROVIDED, Model, QuerySet, Value, expressions
from django.db.models.expressions import BaseExpression, Col, CombinedExpression, Ref
from django.db.models.fields.related import RelatedField
from django.db.models.fields.related_descriptors import ReverseOneToOneDescriptor
from django.db.models.manager import BaseManager
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.query_utils import check_rel_lookup_compatibility
from django.db.models.sql import Query, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import CURSOR, MULTI, SINGLE
from django.db.models.sql.datastructures import BaseTable, Join

__all__ = [
    "AGGREGATE_ORDER",
    "CURSOR",
    "MULTI",
    "NEWER_EXPRESSIONS",
    "NOT_PROVIDED",
    "PRIVATE_NAMES",
    "RELEASES",
    "SINGLE",
    "BaseExpression",
    "BaseManager",
    "BaseTable",
    "Col",
    "CombinedExpression",
    "FlatValuesListIterable",
    "Join",
    "ModelIterable",
    "NamedValuesListIterable",
    "Query",
    "Ref",
    "RelatedField",
    "ReverseOneToOneDescriptor",
    "SQLCompiler",
    "UpdateQuery",
    "ValuesIterable",
    "ValuesListIterable",
    "add_condition_to_all_joins",
    "check_condition",
    "check_rel_lookup_compatibility",
    "clear_related_cache",
    "clone",
    "database_of",
    "filtered_relations",
    "frame_exclusion",
    "has_create_defaults",
    "has_db_default",
    "has_force_insert_of_parents",
    "insert_rows",
    "is_evaluated",
    "is_generated",
    "key_fields",
    "known_parents",
    "plain_query",
    "prefetch_lookups",
    "queryset_class",
    "quote_alias",
    "refuse_combined",
    "related_cache",
    "related_rows",
    "row_iterable",
    "rows_in_memory",
    "select_columns",
    "selected_names",
    "selects_columns",
    "set_database",
    "set_known_parents",
    "set_prefetch_lookups",
    "string_delimiter",
    "unique_index_name",
    "update_query_as",
    "with_sticky_filter",
]

#: Releases with which tests/versions runs the server.
RELEASES = ("4.2", "5.1", "5.2", "6.1")
_SINCE_5_1, _SINCE_5_2, _SINCE_6_1 = RELEASES[1:], RELEASES[2:], RELEASES[3:]
_BEFORE_6_1 = RELEASES[:3]

#: Owner -> name -> releases. The owner is an object of Django with this attribute or method.
PRIVATE_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "QuerySet": dict.fromkeys(
        (
            "_chain",
            "_db",
            "_fields",
            "_insert",
            "_iterable_class",
            "_known_related_objects",
            "_next_is_sticky",
            "_not_support_combined_queries",
            "_prefetch_related_lookups",
            "_result_cache",
        ),
        RELEASES,
    ),
    "Query": {
        **dict.fromkeys(
            # Methods that `ClientQuery` overrides.
            (
                "add_annotation",
                "add_fields",
                "add_select_col",
                "build_lookup",
                "chain",
                "check_related_objects",
                "exists",
                "get_compiler",
                "names_to_path",
                "resolve_ref",
                "set_values",
                "setup_joins",
                "trim_joins",
            ),
            RELEASES,
        ),
        **dict.fromkeys(
            # Methods and attributes that the server uses.
            (
                "_filtered_relations",
                "add_ordering",
                "add_q",
                "alias_cols",
                "alias_map",
                "alias_refcount",
                "annotation_select",
                "annotations",
                "clear_deferred_loading",
                "clear_ordering",
                "clear_select_fields",
                "clone",
                "combinator",
                "combined_queries",
                "default_cols",
                "deferred_loading",
                "distinct",
                "distinct_fields",
                "extra",
                "default_ordering",
                "extra_order_by",
                "extra_select",
                "filter_is_sticky",
                "append_annotation_mask",
                "order_by",
                "used_aliases",
                "extra_tables",
                "get_initial_alias",
                "get_meta",
                "group_by",
                "high_mark",
                "is_sliced",
                "low_mark",
                "select",
                "select_related",
                "set_select",
                "subquery",
                "values_select",
                "where",
            ),
            RELEASES,
        ),
        "selected": _SINCE_5_2,
    },
    "UpdateQuery": dict.fromkeys(("get_related_updates", "related_updates", "values"), RELEASES),
    "SQLCompiler": {
        **dict.fromkeys(
            # Methods that `AuditedCompiler` overrides.
            (
                "collapse_group_by",
                "compile",
                "execute_sql",
                "find_ordering_name",
                "get_combinator_sql",
                "get_converters",
                "get_default_columns",
                "get_from_clause",
                "get_group_by",
                "get_qualify_sql",
                "get_related_selections",
                "get_select",
            ),
            RELEASES,
        ),
        **dict.fromkeys(("as_sql", "col_count", "has_extra_select"), RELEASES),
        "quote_name": _SINCE_6_1,
        "quote_name_unless_alias": _BEFORE_6_1,
    },
    "Join": dict.fromkeys(
        ("join_cols", "join_field", "join_type", "parent_alias", "table_alias", "table_name"), RELEASES
    ),
    "Col": dict.fromkeys(("alias", "target"), RELEASES),
    "Manager": dict.fromkeys(("_db", "_queryset_class"), RELEASES),
    "RelatedManager": dict.fromkeys(("_apply_rel_filters",), RELEASES),
    "ModelState": dict.fromkeys(("fields_cache",), RELEASES),
    "DatabaseSchemaEditor": dict.fromkeys(("_create_index_name",), RELEASES),
    "DatabaseWrapper": dict.fromkeys(
        ("execute_wrappers", "in_atomic_block", "needs_rollback", "wrap_database_errors"), RELEASES
    ),
    "Options": {
        **dict.fromkeys(("concrete_model", "get_parent_list", "local_concrete_fields", "private_fields"), RELEASES),
        "pk_fields": _SINCE_5_2,
    },
}

#: Expressions of the vocabulary that older releases do not have.
NEWER_EXPRESSIONS = frozenset({"JSONArray", "NegatedExpression"})
#: Keyword of an aggregate of PostgreSQL for its order.
AGGREGATE_ORDER = "order_by" if django.VERSION >= (5, 2) else "ordering"
#: ``update_or_create(create_defaults=...)``.
has_create_defaults = django.VERSION >= (5, 0)
#: ``save(force_insert=(Parent, ...))``; older releases would treat the tuple as True.
has_force_insert_of_parents = django.VERSION >= (5, 0)
#: Since 6.1, an alias is quoted like any other name.
_QUOTE = "quote_name" if hasattr(SQLCompiler, "quote_name") else "quote_name_unless_alias"
_HAS_REUSE_ALL = "reuse_all" in inspect.signature(Query.add_q).parameters


# Querysets


def clone(queryset: QuerySet) -> QuerySet:
    """Return a copy of a queryset without its rows; ``all()`` could be a method of the project."""
    return queryset._chain()


def selects_columns(queryset: QuerySet) -> bool:
    """Return True after ``values()`` or ``values_list()``; False if the rows are instances."""
    return queryset._fields is not None


def is_evaluated(queryset: QuerySet) -> bool:
    """Return True if the rows are in memory."""
    return queryset._result_cache is not None


def rows_in_memory(queryset: QuerySet) -> int:
    """Return the number of rows in memory; 0 before the evaluation."""
    return len(queryset._result_cache or ())


def row_iterable(queryset: QuerySet) -> type:
    """Return the class that makes the rows."""
    return queryset._iterable_class


def database_of(queryset: Any) -> str | None:
    """Return the alias of ``using()`` for a queryset or a manager; None if a router chooses the database."""
    return queryset._db


def set_database(queryset: QuerySet, alias: str) -> None:
    queryset._db = alias


def prefetch_lookups(queryset: QuerySet) -> tuple[Any, ...]:
    """Return the lookups of ``prefetch_related()``."""
    return queryset._prefetch_related_lookups


def set_prefetch_lookups(queryset: QuerySet, lookups: tuple[Any, ...]) -> None:
    queryset._prefetch_related_lookups = lookups


def known_parents(queryset: QuerySet) -> dict[Any, dict[Any, Model]]:
    """Return the instances that a queryset assigns to its rows: relation -> key -> instance."""
    return queryset._known_related_objects


def set_known_parents(queryset: QuerySet, parents: dict[Any, dict[Any, Model]]) -> None:
    queryset._known_related_objects = parents


def refuse_combined(queryset: QuerySet, method: str) -> None:
    """Raise Django's NotSupportedError for ``method`` of a union."""
    queryset._not_support_combined_queries(method)


def with_sticky_filter(queryset: QuerySet) -> QuerySet:
    """Return the queryset; its next two ``filter()`` use the same join of a many-valued relation."""
    return queryset._next_is_sticky()


def insert_rows(queryset: QuerySet, instances: list[Any], **options: Any) -> Any:
    """Insert rows without signals and without the other tables of an inherited model."""
    return queryset._insert(instances, **options)


# Managers


def queryset_class(manager: Any) -> type[QuerySet]:
    """Return the queryset class of a manager that was made by ``from_queryset()``, or Django's."""
    return getattr(manager, "_queryset_class", QuerySet)


def related_rows(manager: Any, queryset: QuerySet) -> QuerySet:
    """Return ``queryset`` with the conditions of a related manager."""
    return manager._apply_rel_filters(queryset)


# Queries and compilers


def plain_query(query: Query) -> Query:
    """Return a copy of a query with Django's class; a subclass may override ``chain()``."""
    return Query.chain(query, Query)


def update_query_as(query: UpdateQuery, kind: type[UpdateQuery]) -> UpdateQuery:
    """Return a copy of a query with the class ``kind``; ``chain()`` makes it without the values."""
    chained = query.chain(kind)
    chained.values = query.values
    return chained


def add_condition_to_all_joins(query: Query, condition: Any) -> None:
    """Add a condition that uses all existing joins; Django before 5.0 does not have the parameter for this."""
    if _HAS_REUSE_ALL:
        query.add_q(condition, reuse_all=True)
    else:
        query.used_aliases = set(query.alias_map)
        query.add_q(condition)


def filtered_relations(query: Query) -> dict[str, Any]:
    """Return the `FilteredRelation` objects of a query by alias."""
    return query._filtered_relations


def select_columns(query: Query, columns: tuple[Any, ...], names: tuple[str, ...]) -> None:
    """Let a query select ``columns`` only, as ``values_list(*names)`` does."""
    query.clear_select_fields()
    query.default_cols = False
    query.select, query.values_select = columns, names
    if hasattr(query, "selected"):  # since Django 5.2
        query.selected = {name: position for position, name in enumerate(names)}


def selected_names(query: Query) -> dict[str, Any] | None:
    """Return the order of the selected columns by name; None before Django 5.2 and for the default order."""
    return getattr(query, "selected", None)


def quote_alias(compiler: SQLCompiler, name: str) -> str:
    """Return the name of a table or an alias as SQL."""
    return getattr(compiler, _QUOTE)(name)


def unique_index_name(alias: str, table: str, columns: list[str]) -> str:
    """Return the name that Django gives to the index of a unique field or of ``unique_together``."""
    return connections[alias].schema_editor(collect_sql=True)._create_index_name(table, columns, suffix="_uniq")


# Models and fields


def related_cache(instance: Model) -> dict[str, Any]:
    """Return the related instances that are in memory, by the name of the relation."""
    return instance._state.fields_cache


def clear_related_cache(instance: Model) -> None:
    """Forget the related instances and the prefetched rows."""
    instance._state.fields_cache.clear()
    instance.__dict__.pop("_prefetched_objects_cache", None)


def key_fields(model: Any) -> tuple[Any, ...]:
    """Return the fields of the primary key: several for a composite key, since Django 5.2."""
    return tuple(getattr(model._meta, "pk_fields", None) or (model._meta.pk,))


def is_generated(field: Any) -> bool:
    """Return True if the database computes the field: `GeneratedField`, since Django 5.0."""
    return bool(getattr(field, "generated", False))


def has_db_default(field: Any) -> bool:
    """Return True if the database has a default for the field, since Django 5.0."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def check_condition(constraint: Any) -> Any:
    """Return the condition of a `CheckConstraint`, which releases before 5.1 name ``check``."""
    return constraint.condition if django.VERSION >= (5, 1) else constraint.check


# Expressions


def frame_exclusion(name: str) -> Any:
    """Return the exclusion of a window frame; raises ValueError before Django 5.1."""
    exclusions = getattr(expressions, "WindowFrameExclusion", None)
    if exclusions is None:
        raise ValueError("This service's release of Django does not support the exclusion of a frame.")
    return exclusions(name)


def string_delimiter(text: str) -> Any:
    """Return the delimiter of a `StringAgg` as a parameter of the statement; before 6.0, a text is a parameter."""
    return text if django.VERSION < (6, 0) else Value(text)
