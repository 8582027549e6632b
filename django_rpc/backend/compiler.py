"""Compilers that send the node of a query instead of writing SQL.

Django evaluates every queryset through ``query.get_compiler(using).execute_sql()``. Iterables, async, ``iterator()``,
prefetching, the admin and forms all call it, so none of them needs an override.

The compiler sets up the local query (columns, their models and positions), but never turns it into SQL:
`SQLCompiler.compile` does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.utils import NotSupportedError

from django_rpc.backend.django_compat import (
    CURSOR,
    GET_ITERATOR_CHUNK_SIZE,
    MULTI,
    NO_RESULTS,
    SINGLE,
    selected_names,
)
from django_rpc.backend.django_compat import (
    sql_compiler as compiler,
)
from django_rpc.backend.select_cache import Selection, cache_selection, cached_selection
from django_rpc.errors import BadResponse
from django_rpc.graph.nodes import Rows
from django_rpc.graph.values import ATOMS, RowSet

__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
    "column_names",
]

#: Types of the values of rows.
_PLAIN = ATOMS | {list, tuple, dict}


class _LocalModels:
    """Forwards a query on a local model to the database of that model.

    Django runs queries for content types, users and similar models on the alias of the instance that it started from
    (``db_manager(instance._state.db)``). Where that instance is a mirror, the alias is a service.
    """

    def __new__(cls, query: Any, connection: Any, using: str, *args: Any, **kwargs: Any) -> Any:
        local = _local_alias(query, using)
        if local is None:
            return super().__new__(cls)
        return query.get_compiler(local)


def _local_alias(query: Any, using: str) -> str | None:
    """Return the alias of the database with the rows of a local model.

    Return None for a mirror, and where the routers choose a service.
    """
    from django_rpc.models.options import options_of  # a module that cannot be imported before the apps are ready

    if query.model is None:  # Q.check(), which compares values
        return None if connections[DEFAULT_DB_ALIAS].vendor in ("rpc", "unknown") else DEFAULT_DB_ALIAS
    if hasattr(query, "recorded") or options_of(query.model) is not None:
        return None
    choose = router.db_for_read if query.compiler == "SQLCompiler" else router.db_for_write
    alias: str = choose(query.model)
    return None if connections[alias].vendor == "rpc" else alias


class SQLCompiler(_LocalModels, compiler.SQLCompiler):
    """Compiler of a SELECT. The service sends the rows, with columns in the positions of the local query."""

    select: Any
    klass_info: Any
    annotation_col_map: Any
    _converters: dict[int, Any] | None = None

    def compile(self, node: Any) -> tuple[str, tuple[()]]:
        """Return no SQL; the service compiles the query."""
        return "", ()

    def as_sql(self, with_limits: bool = True, with_col_aliases: bool = False) -> tuple[str, tuple[()]]:
        """Return SQL for a person who reads it; it is never sent. The text is in the dialect of the default database.

        Raise NotSupportedError where the default database is not a local database.
        """
        local = connections[DEFAULT_DB_ALIAS]
        if local.vendor in ("rpc", "unknown"):
            raise NotSupportedError(
                f"The query on {_subject(self.query)} has no SQL here: the service writes it. "
                "Use .delayed().explain() to see the service's own, or .explain() to see its plan."
            )
        return self.query.get_compiler(connection=local).as_sql(with_limits, with_col_aliases)

    def execute_sql(
        self,
        result_type: str = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        """Return the rows as one chunk (MULTI), the first row (SINGLE), or None."""
        result_type = result_type or NO_RESULTS
        if result_type == CURSOR:
            raise NotSupportedError("A remote query has no cursor.")
        node = recorded_node(self.query, self.connection.alias)
        columns = self.set_up()
        if self.query.is_known_empty():
            rows: Sequence[Any] = ()
        else:
            rowset = self.query.answer.rowset if self.query.answer is not None else None
            if rowset is None:
                rowset = self.connection.compute(Rows(node, columns, where=node.where), self.query.options)
            rows = _flat(self, select_columns(rowset, columns))
        if result_type == SINGLE:
            return rows[0] if rows else None
        if result_type == NO_RESULTS:
            return None
        return [rows]

    def set_up(self) -> tuple[str, ...]:
        """Set up the query as ``setup_query()`` does, and return the names of the columns."""
        selection = cached_selection(self.query)
        if selection is None:
            self.setup_query()
            columns = column_names(self)
            expressions = [selected[0] for selected in self.select]
            converters = super().get_converters(expressions)
            selection = Selection(self.select, self.klass_info, self.annotation_col_map, columns, converters)
            cache_selection(self.query, selection)
        self.select, self.klass_info, self.annotation_col_map, columns, self._converters = selection
        self.col_count = len(self.select)
        return columns

    def get_converters(self, expressions: Any) -> Any:
        return super().get_converters(expressions) if self._converters is None else self._converters

    def has_results(self) -> bool:
        return bool(self.query.has_results(self.using))

    def explain_query(self) -> Iterator[str]:
        yield self.query.explain(self.using)


class _Unrecorded(_LocalModels):
    """Base of compilers for statements below the public API of Django, which mirrors send in another way."""

    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        raise NotSupportedError(
            f"{type(self.query).__name__} on {_subject(self.query)} cannot be sent to a service; "
            "use the methods of the mirror's manager, queryset or instance."
        )


class SQLInsertCompiler(_Unrecorded, compiler.SQLInsertCompiler):
    pass


class SQLUpdateCompiler(_Unrecorded, compiler.SQLUpdateCompiler):
    pass


class SQLDeleteCompiler(_Unrecorded, compiler.SQLDeleteCompiler):
    pass


class SQLAggregateCompiler(_Unrecorded, compiler.SQLAggregateCompiler):
    pass


def _pairs(compiled: Any) -> set[int]:
    """Return the positions of composite keys, which exist since Django 5.2."""
    return {i for i, (expression, *_) in enumerate(compiled.select) if type(expression).__name__ == "ColPairs"}


def _flat(compiled: Any, rows: Sequence[Any]) -> Sequence[Any]:
    """Return ``rows`` with one column for each part of a composite key, the format that Django's compilers read."""
    pairs = _pairs(compiled)
    if not pairs:
        return rows
    return [
        tuple(
            [
                part
                for i, value in enumerate(row)
                for part in (value if i in pairs and isinstance(value, tuple) else (value,))
            ]
        )
        for row in rows
    ]


def _subject(query: Any) -> str:
    return query.model.__name__ if query.model is not None else "no model"


def recorded_node(query: Any, using: str) -> Any:
    """Return the node of a recorded query for the service ``using``.

    Raise NotSupportedError for a query that was not made through a mirror.
    """
    try:
        return query.recorded(using)
    except AttributeError:
        raise NotSupportedError(
            f"A query on {_subject(query)} was sent to a database of django_rpc, but it was not made through a mirror "
            "model (a subclass of django_rpc.models.RpcModel). Local models cannot be read from a service, and a "
            "query cannot join local and remote tables: fetch one side first, as list(...)."
        ) from None


def select_columns(answer: Any, columns: tuple[str, ...]) -> Sequence[Any]:
    """Return the rows of a RowSet in the order of ``columns``; raise BadResponse for anything but plain data."""
    if type(answer) is not RowSet or not set(columns) <= set(answer.columns):
        raise BadResponse(f"The answer of the service has no rows with the columns {', '.join(columns)}.")
    for kind in set(map(type, chain.from_iterable(answer.rows))) - _PLAIN:
        raise BadResponse(f"The answer of the service has a {kind.__name__} among the values of its rows.")
    if answer.columns == columns:
        return answer.rows
    positions = [answer.columns.index(name) for name in columns]
    return [tuple([row[i] for i in positions]) for row in answer.rows]


def column_names(compiled: compiler.SQLCompiler) -> tuple[str, ...]:
    """Return a name for each selected position: a lookup path from the query's model, or the name of an annotation.

    ``compiled`` must be set up (``setup_query()``), so that it has ``select`` and ``klass_info``.
    """
    names: list[str | None] = [None] * len(compiled.select)
    query = compiled.query
    selected = selected_names(query)
    if selected and _pairs(compiled):  # the positions below count each part of a composite key
        return tuple(
            [query.values_select[i] if isinstance(i, int) else query.wire_alias(n) for n, i in selected.items()]
        )
    for name, position in (compiled.annotation_col_map or {}).items():
        names[position] = query.wire_alias(name)
    if query.values_select:  # since Django 5.2 the map above also has the names of plain columns
        plain = [i for i, name in enumerate(names) if name is None]
        for i, name in zip(plain, query.values_select, strict=False):
            names[i] = name
    elif compiled.klass_info:
        _name_class(compiled, names, compiled.klass_info, "")
    if None in names:
        raise NotSupportedError(f"A selected expression of the query on {_subject(query)} has no name to send.")
    return tuple(names)  # type: ignore[arg-type]  # narrower than mypy can tell


def _name_class(compiled: Any, names: list[str | None], klass_info: dict[str, Any], prefix: str) -> None:
    for position in klass_info["select_fields"]:
        if names[position] is None:
            names[position] = prefix + compiled.select[position][0].target.attname
    for related in klass_info.get("related_klass_infos", ()):
        _name_class(compiled, names, related, f"{prefix}{_relation_name(related)}__")


def _relation_name(klass_info: dict[str, Any]) -> str:
    setter = klass_info["remote_setter"]
    if isinstance(setter, partial) and isinstance(setter.args[0], str):
        return setter.args[0]  # a FilteredRelation; its name is its alias
    field = klass_info["field"]
    return field.related_query_name() if klass_info["reverse"] else field.name
