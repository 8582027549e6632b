"""SQL compilers that refuse columns and tables that are hidden from the client, and limit tables to visible rows.

Each column in a SELECT, in the condition of an UPDATE and in its values is compiled by ``compile(Col)``. A table
enters a query only by ``compile(BaseTable)`` or ``compile(Join)``. So this single check covers every name in every
part of a query. It runs when the query is compiled, before any SQL is sent.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db.models.lookups import Exact, In, IsNull, Transform

from django_rpc.errors import TooManyNodes
from django_rpc.server.django_compat import (
    CURSOR,
    MULTI,
    SINGLE,
    BaseTable,
    Col,
    Join,
    Ref,
    RelatedField,
    SQLCompiler,
    quote_alias,
)
from django_rpc.server.policy.client_policy import ClientFieldError
from django_rpc.server.policy.ordering import may_order_by
from django_rpc.server.query import postgres
from django_rpc.server.query.growth import GROWING, growth
from django_rpc.server.query.select_cache import CachedSelect, is_nested, key_of, selections_of

__all__ = ["AllRelated", "TrustedCol", "audited"]

if TYPE_CHECKING:

    class _CompilerBase(SQLCompiler): ...

else:
    _CompilerBase = object  # `audited` puts the mixin before the compiler of a database

#: Names of the methods with which fields convert a value of the database; an `ArrayField` of JSON has the second one.
_FROM_DB_VALUE = frozenset({"from_db_value", "_from_db_value"})


class TrustedCol(Col):
    """Column that the server selects for its code; `ResultEncoder` decides later if the client receives the value."""


@functools.cache
def audited(compiler_class: type) -> type:
    """Return the subclass of a backend's compiler that checks all parts of a query."""
    return type(f"Audited{compiler_class.__name__}", (AuditedCompiler, compiler_class), {})


class _Every:
    """Container that contains each alias."""

    def __contains__(self, alias: object) -> bool:
        return True


_NONE: frozenset[str] = frozenset()
_EVERY = _Every()


class AllRelated(dict[str, Any]):
    """The relations of ``select_related()`` without names, which also joins deferred relations."""


class AuditedCompiler(_CompilerBase):
    """Mixin for the compilers of all backends.

    ``scoped`` becomes True if a table was limited to the rows that the client may see.
    """

    scoped = False
    _all_columns = False
    _selection: CachedSelect | None = None
    _join_columns: frozenset[tuple[str, str]] = frozenset()
    #: Aliases of tables. A readable column of these may be selected directly, but not used inside an expression.
    _alone: Any = _NONE
    #: The column that the comparison in progress compares with a value.
    _compared: tuple[str, str] | None = None

    def compile(self, node: Any) -> Any:
        self.query.policy.budget.count_parts(1)
        if type(node) in GROWING:
            self.query.policy.budget.count_growth(growth(node), type(node).__name__)
        check = _CHECKS.get(type(node), _UNKNOWN)
        if check is _UNKNOWN:
            check = _CHECKS.setdefault(type(node), _check_for(type(node)))
        if check is not None:
            replaced = check(self, node)
            if replaced is not None:
                return replaced
        alone, self._alone = self._alone, _NONE  # a column inside an expression is not selected directly
        try:
            return super().compile(node)
        finally:
            self._alone = alone

    # Default columns and rows

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        query = self.query
        self._all_columns = getattr(query, "all_columns", False) and not query.combinator
        budget, high = query.policy.budget, query.high_mark
        kind = args[0] if args else kwargs.get("result_type", MULTI)
        if kind != MULTI or not isinstance(self, SQLCompiler):
            result = super().execute_sql(*args, **kwargs)
            if kind == SINGLE and type(result) is tuple:
                budget.count_text([result])
            return result
        # One row more than the limit shows that there are more rows. A driver would fetch all rows before the count.
        most = query.low_mark + budget.limits.rows + 1
        query.high_mark = most if high is None else min(high, most)
        try:
            if kwargs.get("chunked_fetch"):
                return _counted_later(super().execute_sql(*args, **kwargs), budget)
            cursor = super().execute_sql(CURSOR)
        finally:
            query.high_mark = high
        if cursor is None:  # a query without rows
            return iter([])
        return _read(cursor, self.col_count if self.has_extra_select else None, budget)

    def get_from_clause(self) -> Any:
        query, most = self.query, self.query.policy.budget.limits.joins
        if sum(map(bool, query.alias_refcount.values())) > most + 1:
            raise TooManyNodes(f"The query joins more than {most:,} tables (limit 'joins'). Ask for it in parts.")
        return super().get_from_clause()

    def get_default_columns(self, *args: Any, **kwargs: Any) -> Any:
        columns = super().get_default_columns(*args, **kwargs)
        if self._all_columns or self.query.__dict__.get("within_qualify"):
            return [_trust(column) for column in columns]
        view, nested = self.query.policy.view(self.query.model), is_nested(self.query)
        if view is not None and not view.hides and not self.query.select_related and not (nested and view.restricts):
            return columns
        return [column for column in columns if column.target.column in self._selectable(column.target, nested)]

    def _selectable(self, target: Any, nested: bool) -> frozenset[str]:
        allowed = self.query.policy.columns(target.model._meta.db_table)
        return _NONE if allowed is None else allowed.used if nested else allowed.readable

    def get_related_selections(
        self,
        select: Any,
        select_mask: Any,
        opts: Any = None,
        root_alias: Any = None,
        cur_depth: int = 1,
        requested: Any = None,
        restricted: Any = None,
    ) -> Any:
        query = self.query
        wrong = getattr(query, "wrong_related", None)
        if wrong is not None and query.select_related:
            raise wrong
        if select_mask and isinstance(query.select_related, AllRelated):
            names = query.select_related if requested is None else requested
            fields = [(opts or query.get_meta()).get_field(name) for name in names]
            select_mask = {**{field: {} for field in fields}, **select_mask}
        return super().get_related_selections(select, select_mask, opts, root_alias, cur_depth, requested, restricted)

    def get_qualify_sql(self) -> Any:
        """Return the SQL of a query with a condition on a window function.

        Django wraps the query in a second query. The inner query has to select the same columns as the executed query.
        """
        if is_nested(self.query):
            return super().get_qualify_sql()
        self.query.within_qualify = self._all_columns  # the clone that Django wraps copies this attribute
        try:
            return super().get_qualify_sql()
        finally:
            del self.query.within_qualify

    def find_ordering_name(self, name: Any, opts: Any, alias: Any = None, *args: Any, **kwargs: Any) -> Any:
        if alias is None:
            items = super().find_ordering_name(name, opts, alias, *args, **kwargs)
            # Expressions in a related model's Meta.ordering are not resolved yet; their names start at this model.
            # An expression that is resolved is a column by its name, or transforms of it: the name was checked.
            return [i for i in items if _is_column(i[0].expression) or may_order_by(self.query.policy, opts, i[0])]
        try:  # hidden fields in a related model's Meta.ordering are skipped, as they are for the model itself
            return super().find_ordering_name(name, opts, alias, *args, **kwargs)
        except ClientFieldError:
            return []

    def get_select(self, with_col_aliases: bool = False) -> Any:
        if not is_nested(self.query):
            self._alone = _EVERY
        try:
            return self._get_select(with_col_aliases)
        finally:
            self._alone = _NONE

    def _get_select(self, with_col_aliases: bool) -> Any:
        key = None if with_col_aliases else key_of(self.query, self._all_columns)
        if key is None:
            return super().get_select(with_col_aliases)
        cache = selections_of(self.connection)
        selection = cache.get(key)
        if selection is None:
            select, klass_info, annotations = super().get_select()
            columns = _own_columns(self.query.model, select)
            if columns is None:
                return select, klass_info, annotations
            selection = cache[key] = CachedSelect(select, klass_info, annotations, columns, {})
        elif not self._all_columns and not self._may_select(selection):
            return super().get_select()  # this call refuses or skips the hidden columns
        self._selection = selection
        return list(selection.select), selection.klass_info, selection.annotations

    def _may_select(self, selection: CachedSelect) -> bool:
        allowed = self.query.policy.columns(self.query.model._meta.db_table)
        return allowed is not None and allowed.readable >= selection.columns

    def get_group_by(self, select: Any, order_by: Any) -> Any:
        """Return the GROUP BY clause; next to the primary key, other columns of its table do not change the groups."""
        group_expressions = self.query.group_by if isinstance(self.query.group_by, tuple) else ()
        columns = [column for column in (*group_expressions, *(item[0] for item in select)) if isinstance(column, Col)]
        self._alone = frozenset([column.alias for column in columns if column.target.primary_key])
        try:
            return super().get_group_by(select, order_by)
        finally:
            self._alone = _NONE

    def get_combinator_sql(self, *args: Any, **kwargs: Any) -> Any:
        arms = []
        for arm in self.query.combined_queries:
            arm = arm.clone()
            arm.is_arm = True
            arms.append(arm)
        self.query.combined_queries = tuple(arms)
        return super().get_combinator_sql(*args, **kwargs)

    def get_converters(self, expressions: Any) -> Any:
        raw = bool(getattr(self.query, "raw_rows", False))
        selection = self._selection
        if selection is None or len(expressions) != len(selection.select):
            return self._converters(expressions, raw)
        if raw not in selection.converters:
            selection.converters[raw] = self._converters(expressions, raw)
        return selection.converters[raw]

    def _converters(self, expressions: Any, raw: bool) -> Any:
        converters = super().get_converters(expressions)
        if not raw:
            return converters
        raw_converters = {}
        for position, (functions, expression) in converters.items():
            functions = [f for f in functions if getattr(f, "__name__", "") not in _FROM_DB_VALUE]
            if functions:
                raw_converters[position] = (functions, expression)
        return raw_converters

    def collapse_group_by(self, expressions: Any, having: Any) -> Any:
        # A narrowed table is a subquery in the SQL, and the database does not know that its key is unique.
        if self.query.policy.rows(self.query.model) is not None or self._has_narrowed_join():
            return expressions
        return super().collapse_group_by(expressions, having)

    def _has_narrowed_join(self) -> bool:
        policy = self.query.policy
        return any(
            policy.rows_of_table(_joined_model(join), join.table_name) is not None
            for join in self.query.alias_map.values()
            if isinstance(join, Join)
        )

    # Rows

    def narrowed(self, model: Any, table: str, alias: str) -> tuple[str, tuple[Any, ...]] | None:
        """Return ``(SELECT ...) alias`` as trusted SQL if the client may see only some rows of a table, else None."""
        model_and_rows = self.query.policy.rows_of_table(model, table)
        if model_and_rows is None:
            return None
        self.scoped = True
        narrowing, rows = model_and_rows
        cache, key = self.query.policy.scope_sql, (narrowing, self.connection.alias)
        if key not in cache:
            if not rows.query.is_sliced:
                rows = rows.order_by()
            columns = rows.values_list(*[f.attname for f in narrowing._meta.local_concrete_fields])
            compiler = columns.query.get_compiler(connection=self.connection, elide_empty=False)
            sql, params = compiler.as_sql()
            cache[key] = sql, tuple(params)
        sql, params = cache[key]
        return f"({sql}) {quote_alias(self, alias)}", params


def _read(cursor: Any, columns: int | None, budget: Any) -> list[Any]:
    """Return all rows of a cursor, as one chunk. Each row is counted before the next row is fetched."""
    rows = []
    try:
        for row in cursor:
            budget.count_row(row)
            rows.append(row if columns is None else row[:columns])
    finally:
        cursor.close()
    return [rows]


def _counted_later(chunks: Any, budget: Any) -> Any:
    for chunk in chunks:
        budget.count_rows(chunk)
        yield chunk


def _own_columns(model: Any, select: list[Any]) -> frozenset[str] | None:
    """Return the columns of a selection; None if one of them is not a column of the model's table."""
    table = model._meta.db_table
    columns = set()
    for expression, _, _ in select:
        if (
            not isinstance(expression, Col)
            or expression.alias != table
            or expression.target.model._meta.db_table != table
        ):
            return None
        columns.add(expression.target.column)
    return frozenset(columns)


def _trust(column: Col) -> TrustedCol:
    return TrustedCol(column.alias, column.target, column.output_field)


# The checks. Each returns None, or the SQL that replaces the SQL of the node.


def _check_column(compiler: Any, column: Col) -> None:
    target = column.target
    model = getattr(target, "model", None)
    if model is not None:
        allowed = compiler.query.policy.columns(model._meta.db_table)
        if allowed is not None:
            if target.column in allowed.used:
                return
            if target.column in allowed.readable and column.alias in compiler._alone:
                return
            compared, compiler._compared = compiler._compared, None
            if target.column in allowed.compared and compared == (column.alias, target.column):
                return
    if (column.alias, target.column) in compiler._join_columns:
        return
    raise _refusal(compiler.query.policy, model, target.name)


def _check_reference(compiler: Any, reference: Ref) -> None:
    """Check a column that ORDER BY or GROUP BY uses by reference to the selection: Django does not compile it again."""
    if isinstance(reference.source, Col):
        _check_column(compiler, reference.source)


def _is_column(expression: Any) -> bool:
    """Return True for a column of a table, and for transforms of a column."""
    while isinstance(expression, Transform):
        expression = expression.lhs
    return isinstance(expression, Col)


def _check_comparison(compiler: Any, lookup: Any) -> Any:
    """Allow the comparison of an unreadable column with a value.

    Only the left side of the lookup is allowed. Django compiles it first.
    """
    column = lookup.lhs
    if not isinstance(column, Col):
        return None
    compiler._compared = column.alias, column.target.column
    alone, compiler._alone = compiler._alone, _NONE
    try:
        return super(AuditedCompiler, compiler).compile(lookup)
    finally:
        compiler._compared, compiler._alone = None, alone


def _check_table(compiler: Any, table: BaseTable) -> Any:
    query = compiler.query
    if query.policy.columns(table.table_name) is None:
        if query.policy.exposure(query.model) is not None:
            raise PermissionDenied(f"This client may not read {query.model._meta.label}.")
        raise _refusal(query.policy, query.model, "pk")
    return compiler.narrowed(query.model, table.table_name, table.table_alias)


def _check_join(compiler: Any, join: Join) -> Any:
    policy = compiler.query.policy
    for model, column, name in _declared_columns(join):
        allowed = policy.columns(model._meta.db_table)
        if allowed is None or column not in allowed.used:
            raise _refusal(policy, model, name)
    if policy.columns(join.table_name) is None:
        raise ClientFieldError("The query follows a relation to a model that this service does not have.")
    outer = compiler._join_columns
    compiler._join_columns = outer | _on_columns(join)
    try:
        sql, params = super(AuditedCompiler, compiler).compile(join)
    finally:
        compiler._join_columns = outer
    replaced = compiler.narrowed(_joined_model(join), join.table_name, join.table_alias)
    if replaced is None:
        return sql, params
    alias = "" if join.table_alias == join.table_name else f" {quote_alias(compiler, join.table_alias)}"
    head = f"{join.join_type} {quote_alias(compiler, join.table_name)}{alias} ON "
    if not sql.startswith(head):
        raise ClientFieldError("The rows of a joined table cannot be narrowed on this database.")
    return f"{join.join_type} {replaced[0]} ON {sql[len(head) :]}", [*replaced[1], *params]


def _declaring(join: Join) -> Any:
    """Return the declared field of the relation that a join follows, in either direction."""
    field = join.join_field
    return field if isinstance(field, RelatedField) else getattr(field, "field", field)


def _declared_columns(join: Join) -> list[tuple[Any, str, str]]:
    """Return the columns of a relation on the declaring side; a client that sees these may follow the relation."""
    field = _declaring(join)
    return [(local_field.model, local_field.column, field.name) for local_field, _ in field.related_fields]


def _on_columns(join: Join) -> frozenset[tuple[str, str]]:
    pairs = set()
    for left, right in join.join_cols:
        pairs |= {(join.parent_alias, left), (join.table_alias, right)}
    return frozenset(pairs)


def _joined_model(join: Join) -> Any:
    """Return the model of the joined table; for a generic relation, Django names the two models the other way round."""
    field = join.join_field
    related = field.related_model
    return related if related._meta.db_table == join.table_name else field.model


def _refusal(policy: Any, model: Any, name: str) -> Exception:
    """Return the error for a hidden column in a compiled query, which the check of names did not refuse."""
    if model is None or policy.view(model) is None:
        return ClientFieldError("The query uses a model or a field that this service does not have.")
    return policy.refusal(model, name)


def _check_for(kind: type) -> Any:
    if issubclass(kind, TrustedCol):
        return None
    check_of_base = next((check for base, check in _BASES if issubclass(kind, base)), None)
    if any(base.__module__.startswith("django.contrib.postgres.") for base in kind.__mro__):
        return functools.partial(_check_database, check_of_base)
    return check_of_base


def _check_database(check: Any, compiler: Any, node: Any) -> Any:
    """Refuse an expression of ``django.contrib.postgres`` on other databases: its SQL is not theirs."""
    if compiler.connection.vendor != "postgresql":
        raise postgres.refusal(type(node).__name__)
    return None if check is None else check(compiler, node)


_BASES: tuple[tuple[type, Any], ...] = (
    (Col, _check_column),
    (Ref, _check_reference),
    *((lookup, _check_comparison) for lookup in (Exact, In, IsNull)),
    (Join, _check_join),
    (BaseTable, _check_table),
)
_UNKNOWN: Any = object()
_CHECKS: dict[type, Any] = {}
