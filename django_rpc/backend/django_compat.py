"""Private and undocumented names of Django that the client uses, with the releases where each works.

The folders backend, models and contrib read these names only through this module. It is in the backend, which Django
loads before models can be imported. `PRIVATE_NAMES` lists attributes and methods, also those that classes of the client
override. The functions below hide the differences between releases. tests/backend/test_django_compat.py has a contract
test for each entry, and tests/versions runs it with each release.
"""

from __future__ import annotations

import inspect
from typing import Any

import django
from django.db import models
from django.db.backends.utils import logger as sql_logger
from django.db.models import NOT_PROVIDED, Field, Q, QuerySet, expressions, lookups
from django.db.models.base import ModelBase, ModelState
from django.db.models.constants import OnConflict
from django.db.models.deletion import Collector, get_candidate_relations_to_delete
from django.db.models.fields import related_descriptors
from django.db.models.fields.related import lazy_related_operation
from django.db.models.fields.related_descriptors import (
    ForeignKeyDeferredAttribute,
    ForwardManyToOneDescriptor,
    ManyToManyDescriptor,
    ReverseManyToOneDescriptor,
    ReverseOneToOneDescriptor,
)
from django.db.models.query import ModelIterable, normalize_prefetch_lookups
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql import Query, UpdateQuery
from django.db.models.sql import compiler as sql_compiler
from django.db.models.sql.constants import CURSOR, GET_ITERATOR_CHUNK_SIZE, MULTI, NO_RESULTS, SINGLE
from django.db.models.sql.query import EXPLAIN_OPTIONS_PATTERN
from django.db.models.sql.where import NothingNode
from django.db.models.utils import create_namedtuple_class, resolve_callables
from django.utils import timezone
from django.utils.functional import LazyObject, empty

try:
    from django.db.models.fields.tuple_lookups import TupleLookupMixin
except ImportError:  # before Django 5.2
    TupleLookupMixin = None

__all__ = [
    "CURSOR",
    "EXPLAIN_OPTIONS_PATTERN",
    "GET_ITERATOR_CHUNK_SIZE",
    "MULTI",
    "NO_RESULTS",
    "PRIVATE_NAMES",
    "RELEASES",
    "SINGLE",
    "Collector",
    "DeferredAttribute",
    "ForeignKeyDeferredAttribute",
    "ForwardManyToOneDescriptor",
    "IntegerFieldOverflow",
    "ManyToManyDescriptor",
    "ModelBase",
    "ModelIterable",
    "ModelState",
    "NegatedExpression",
    "NothingNode",
    "OnConflict",
    "Query",
    "ReverseManyToOneDescriptor",
    "ReverseOneToOneDescriptor",
    "Sliced",
    "TupleLookupMixin",
    "UpdateQuery",
    "WindowFrameExclusion",
    "check_condition_name",
    "check_expressions",
    "clone",
    "constructor_arguments",
    "copy_as",
    "create_namedtuple_class",
    "expire_cache",
    "filter_reuses_joins",
    "forced_bases",
    "get_candidate_relations_to_delete",
    "has_composite_keys",
    "has_database_defaults",
    "has_db_default",
    "has_key",
    "has_rows",
    "is_generated",
    "is_lazy_on_delete",
    "is_negated",
    "is_of_test_case",
    "is_passed",
    "keeps_saved_expressions",
    "key_fields",
    "known_parents",
    "lazy_related_operation",
    "loads_fields_singly",
    "new_q",
    "normalize_prefetch_lookups",
    "output_field_of",
    "prefetch_cache_key",
    "prefetch_lookups",
    "prepare_related_fields",
    "queryset_class",
    "related_descriptors",
    "resolve_callables",
    "reverse_one_to_one_names",
    "row_iterable",
    "rows_in_memory",
    "selected_fields",
    "selected_names",
    "selects_columns",
    "set_prefetch_lookups",
    "set_rows",
    "sql_compiler",
    "sql_logger",
    "unwrapped",
    "using_of",
    "was_prefetched",
]

#: Releases that tests/versions runs the client with.
RELEASES = ("4.2", "5.1", "5.2", "6.1")
_SINCE_5_1, _SINCE_5_2, _SINCE_6_1 = RELEASES[1:], RELEASES[2:], RELEASES[3:]

#: Owner -> name -> releases. The owner is an object of Django with this attribute or method.
PRIVATE_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "QuerySet": {
        **dict.fromkeys(
            # Methods and attributes that `RpcQuerySet` overrides or uses on itself.
            (
                "_chain",
                "_clone",
                "_combinator_query",
                "_extract_model_params",
                "_fetch_all",
                "_for_write",
                "_hints",
                "_insert",
                "_not_support_combined_queries",
                "_raw_delete",
                "_update",
                "_validate_values_are_expressions",
            ),
            RELEASES,
        ),
        **dict.fromkeys(
            # Attributes that the functions below use.
            (
                "_db",
                "_fields",
                "_iterable_class",
                "_known_related_objects",
                "_prefetch_done",
                "_prefetch_related_lookups",
                "_result_cache",
            ),
            RELEASES,
        ),
        "_fetch_mode": _SINCE_6_1,
    },
    "Query": dict.fromkeys(
        (
            # Methods that `RpcQuery` overrides.
            "add_fields",
            "add_ordering",
            "add_q",
            "as_sql",
            "clear_limits",
            "clear_ordering",
            "clear_select_clause",
            "combine",
            "explain",
            "get_aggregation",
            "get_count",
            "has_results",
            "set_empty",
            "set_limits",
            # Methods and attributes that the client uses.
            "add_annotation",
            "add_immediate_loading",
            "annotation_select",
            "annotations",
            "append_annotation_mask",
            "chain",
            "check_alias",
            "clone",
            "combinator",
            "combined_queries",
            "default_cols",
            "default_ordering",
            "deferred_loading",
            "distinct_fields",
            "extra",
            "extra_order_by",
            "filter_is_sticky",
            "get_compiler",
            "get_initial_alias",
            "get_meta",
            "group_by",
            "high_mark",
            "is_sliced",
            "names_to_path",
            "order_by",
            "select_related",
            "solve_lookup_type",
            "subquery",
            "used_aliases",
            "values_select",
            "where",
        ),
        RELEASES,
    ),
    "SQLCompiler": dict.fromkeys(
        (
            "annotation_col_map",
            "as_sql",
            "col_count",
            "compile",
            "execute_sql",
            "explain_query",
            "get_converters",
            "has_results",
            "klass_info",
            "results_iter",
            "select",
            "setup_query",
        ),
        RELEASES,
    ),
    "Manager": dict.fromkeys(("_constructor_args", "_queryset_class"), RELEASES),
    "Options": {
        **dict.fromkeys(("_expire_cache", "concrete_model", "get_parent_list", "local_managers"), RELEASES),
        "_reverse_one_to_one_field_names": _SINCE_5_1,
        "pk_fields": _SINCE_5_2,
    },
    "Model": {
        "_is_pk_set": _SINCE_5_2,
        "_prepare_related_fields_for_save": RELEASES,
        "_validate_force_insert": _SINCE_5_1,
    },
    "ModelBase": dict.fromkeys(("_prepare",), RELEASES),
    "ManyRelatedManager": dict.fromkeys(
        ("_get_missing_target_ids", "_get_target_ids", "_remove_prefetched_objects", "prefetch_cache_name"), RELEASES
    ),
    "Expression": dict.fromkeys(("_constructor_args", "_output_field_or_none"), RELEASES),
    "LazyObject": dict.fromkeys(("_setup", "_wrapped"), RELEASES),
    "Atomic": dict.fromkeys(("_from_testcase",), RELEASES),
    "DatabaseWrapper": dict.fromkeys(
        (
            # Methods and attributes that the connection of a service overrides.
            "_close",
            "_commit",
            "_rollback",
            "_savepoint",
            "_savepoint_commit",
            "_savepoint_rollback",
            "_set_autocommit",
            "needs_rollback",
            "prepare_database",
            "set_autocommit",
            "validate_no_broken_transaction",
            # Attributes that the client uses.
            "atomic_blocks",
            "in_atomic_block",
        ),
        RELEASES,
    ),
    "Collector": dict.fromkeys(("data", "fast_deletes", "restricted_objects", "sort"), RELEASES),
}


class _Absent:
    """Class without instances, in the place of a class that the installed release does not have."""


#: Lookup of a number that no database can hold, since Django 5.0.
IntegerFieldOverflow = getattr(lookups, "IntegerFieldOverflow", _Absent)
#: ``~Exists(...)``; Django 4.2 has a flag instead (`is_negated`).
NegatedExpression = getattr(expressions, "NegatedExpression", _Absent)
#: ``F("name")[:3]``, since Django 5.1.
Sliced = getattr(expressions, "Sliced", _Absent)
#: Exclusion of a window frame, since Django 5.1.
WindowFrameExclusion = getattr(expressions, "WindowFrameExclusion", _Absent)
#: Name of the condition of a `CheckConstraint`.
check_condition_name = "condition" if django.VERSION >= (5, 1) else "check"
has_composite_keys = hasattr(models, "CompositePrimaryKey")
#: Fields with ``db_default``.
has_database_defaults = django.VERSION >= (5, 0)
#: The attribute of a saved instance keeps its expression; newer releases set the value of the row.
keeps_saved_expressions = django.VERSION < (6, 0)
#: A filter of the rows of a relation to many rows reuses all joins of the query.
filter_reuses_joins = "reuse_all" in inspect.signature(Query.add_q).parameters

_NOT_PASSED = getattr(timezone, "NOT_PASSED", object())
_FETCH_ONE = getattr(models, "FETCH_ONE", None)


# Querysets


def clone(queryset: QuerySet) -> QuerySet:
    """Return a copy of a queryset without its rows; ``all()`` could be a method of the project."""
    return queryset._chain()


def copy_as(kind: type[QuerySet], queryset: QuerySet) -> QuerySet:
    """Return a queryset of the class ``kind`` with the query and the database of ``queryset``."""
    return kind(model=queryset.model, query=queryset.query.chain(), using=queryset._db, hints=queryset._hints)


def using_of(queryset: QuerySet) -> str | None:
    """Return the alias of ``using()``; None if a router chooses the database."""
    return queryset._db


def selects_columns(queryset: QuerySet) -> bool:
    """Return True after ``values()`` or ``values_list()``; False if the rows are instances."""
    return queryset._fields is not None


def selected_fields(queryset: QuerySet) -> tuple[str, ...]:
    """Return the arguments of ``values()`` or ``values_list()``."""
    return queryset._fields or ()


def row_iterable(queryset: QuerySet) -> Any:
    """Return the class that makes the rows."""
    return queryset._iterable_class


def has_rows(queryset: QuerySet) -> bool:
    """Return True if the rows are in memory."""
    return queryset._result_cache is not None


def rows_in_memory(queryset: QuerySet) -> Any:
    """Return the list of the rows in memory; None before the evaluation."""
    return queryset._result_cache


def set_rows(queryset: QuerySet, rows: list[Any], prefetched: bool) -> None:
    """Set the rows in memory. ``prefetched`` means that they have their prefetched rows."""
    queryset._result_cache = rows
    queryset._prefetch_done = prefetched


def was_prefetched(queryset: QuerySet) -> bool:
    """Return True if the rows in memory have their prefetched rows."""
    return queryset._prefetch_done


def prefetch_lookups(queryset: QuerySet) -> tuple[Any, ...]:
    """Return the lookups of ``prefetch_related()``."""
    return queryset._prefetch_related_lookups


def set_prefetch_lookups(queryset: QuerySet, lookups: tuple[Any, ...]) -> None:
    queryset._prefetch_related_lookups = lookups


def known_parents(queryset: QuerySet) -> dict[Any, dict[Any, Any]]:
    """Return the instances that a queryset assigns to its rows: relation -> key -> instance."""
    return queryset._known_related_objects


def loads_fields_singly(queryset: QuerySet) -> bool:
    """Return True if a deferred field loads only its instance, the default of ``fetch_mode()`` since Django 6.1."""
    return getattr(queryset, "_fetch_mode", _FETCH_ONE) is _FETCH_ONE


def selected_names(query: Any) -> dict[str, Any] | None:
    """Return the order of the selected columns by name; None before Django 5.2 and for the default order."""
    return getattr(query, "selected", None)


def check_expressions(queryset: QuerySet, values: Any, method: str) -> None:
    """Raise the TypeError of ``method`` if one of ``values`` is no expression."""
    queryset._validate_values_are_expressions(values, method_name=method)


# Managers


def queryset_class(manager_class: Any) -> Any:
    """Return the queryset class of a manager class."""
    return manager_class._queryset_class


def constructor_arguments(instance: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments that made a manager or an expression."""
    return instance._constructor_args


# Models and fields


def expire_cache(options: Any) -> None:
    """Let the ``_meta`` of a model compute its properties again, after a change of its managers or relations."""
    options._expire_cache()


def has_key(instance: Any) -> bool:
    """Return True if each part of the primary key has a value."""
    return instance._is_pk_set() if hasattr(instance, "_is_pk_set") else instance.pk is not None


def key_fields(model: Any) -> tuple[Any, ...]:
    """Return the fields of the primary key: several for a composite key, since Django 5.2."""
    return tuple(getattr(model._meta, "pk_fields", None) or (model._meta.pk,))


def reverse_one_to_one_names(model: Any) -> frozenset[str]:
    """Return the names of one-to-one relations to ``model`` that ``create()`` refuses, since Django 5.0."""
    return getattr(model._meta, "_reverse_one_to_one_field_names", frozenset())


def forced_bases(model: Any, force_insert: Any) -> Any:
    """Return the classes in ``save(force_insert=...)``; None for a bool, and before Django 5.0."""
    if isinstance(force_insert, bool) or not hasattr(model, "_validate_force_insert"):
        return None
    return model._validate_force_insert(force_insert)


def prepare_related_fields(instance: Any, operation: str, fields: list[Any]) -> None:
    """Set the foreign keys of ``fields`` from their related instances; raise ValueError for an unsaved instance."""
    instance._prepare_related_fields_for_save(operation_name=operation, fields=fields)


def is_generated(field: Any) -> bool:
    """Return True if the database computes the field: `GeneratedField`, since Django 5.0."""
    return bool(getattr(field, "generated", False))


def has_db_default(field: Any) -> bool:
    """Return True if the database has a default for the field, since Django 5.0."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def is_lazy_on_delete(on_delete: Any) -> bool:
    """Return True for an ``on_delete`` that needs no rows, as ``SET_NULL``."""
    return bool(getattr(on_delete, "lazy_sub_objs", False))


def prefetch_cache_key(manager: Any, relation: Any) -> str:
    """Return the key of prefetched rows in the cache that a related manager reads.

    ``manager`` is the manager of ``relation``. Before Django 5.1, the key is a method of the relation.
    """
    if hasattr(manager, "prefetch_cache_name"):  # of a many-to-many relation
        return str(manager.prefetch_cache_name)
    return str(relation.cache_name if hasattr(relation, "cache_name") else relation.get_cache_name())


# Expressions and other values


def new_q(children: list[Any], connector: str, negated: bool) -> Q:
    """Return a condition with ``children`` as they are."""
    condition = Q(_connector=connector, _negated=negated)
    condition.children = children
    return condition


def output_field_of(expression: Any) -> Field | None:
    """Return the output field of a resolved expression; None if Django cannot decide it."""
    return expression._output_field_or_none


def is_negated(exists: Any) -> bool:
    """Return True for ``~Exists(...)`` before Django 5.0."""
    return bool(getattr(exists, "negated", False))


def is_passed(argument: Any) -> bool:
    """Return False for the default of ``is_dst`` in ``Trunc`` before Django 5.0, which is no value."""
    return argument is not _NOT_PASSED


def unwrapped(lazy: LazyObject) -> Any:
    """Return the object of a lazy object, such as ``request.user``."""
    if lazy._wrapped is empty:
        lazy._setup()
    return lazy._wrapped


# Transactions


def is_of_test_case(block: Any) -> bool:
    """Return True for the block of ``atomic()`` around a test of ``TestCase``, which Django always rolls back."""
    return bool(block._from_testcase)
