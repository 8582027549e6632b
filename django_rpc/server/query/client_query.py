"""Query classes for a client's queries: Django's classes, with a check of each name and an audited compiler.

A query that is made from a client's request has one of these classes. It keeps the class in clones, subqueries, arms
of a union, counts and updates. The service's code makes plain queries, which are not checked. So the class of the
query decides if it is checked, and no state of a connection or a thread does.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet, FieldError
from django.db import DatabaseError, connections
from django.db.models import Model, QuerySet

from django_rpc.server.django_compat import (
    Query,
    UpdateQuery,
    check_rel_lookup_compatibility,
    clone,
    database_of,
    filtered_relations,
    plain_query,
    queryset_class,
    selects_columns,
    set_known_parents,
    set_prefetch_lookups,
    update_query_as,
)
from django_rpc.server.policy.client_policy import CURRENT, ClientFieldError, Policy, Use
from django_rpc.server.policy.ordering import may_order_by
from django_rpc.server.policy.references import holds_instance, is_instance
from django_rpc.server.query.column_guard import audited

__all__ = ["ClientQuery", "client_queryset", "is_client", "trusted"]


class _Hidden(str):
    """Name that is not found in any table of fields, although its text is the name of a field."""

    __slots__ = ()

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


#: Lookups that Django calls with instances, too, if the field is a relation.
_RELATED = frozenset({"exact", "in", "gt", "gte", "lt", "lte"})


def _path_to(field: Any) -> Any:
    """Return the last step of the path that a query follows if the last field of its path is ``field``.

    The path of a `GenericRelation` ends in its reverse relation, and the path of the reverse relation ends in it.
    """
    paths = [relation.get_path_info()[-1] for relation in (field, field.remote_field)]
    return next((path for path in paths if path.join_field is field), paths[0])


def _name_of(field: Any) -> str:
    return str(getattr(field, "name", None) or type(field).__name__)


if TYPE_CHECKING:

    class _QueryBase(Query): ...

else:
    _QueryBase = object  # the classes below put the mixin before a query class of Django


class _Checked(_QueryBase):
    """Methods that the classes below add to Django's queries."""

    policy: Policy
    keeps_joins = ends_in_relation = False
    #: True for a union of instances, until the client selects some of its columns.
    of_instances = False
    #: Purpose of the names that are resolved.
    use = Use.FILTER

    def names_to_path(self, names: Any, opts: Any, allow_many: bool = True, fail_on_missing: bool = False) -> Any:
        blocked = self.policy.blocked(names, opts, self, self.use)
        if blocked is None:
            return super().names_to_path(names, opts, allow_many, fail_on_missing)
        at, name = blocked.relation or (blocked.opts, names[blocked.position])
        refusal = self.policy.refusal(at.model, name, [*self.annotation_select, *filtered_relations(self)])
        if blocked.relation is None and self.policy.knows(at.model, name):
            raise refusal
        path_names = list(names)
        path_names[blocked.position] = _Hidden(path_names[blocked.position])
        try:
            *path_parts, rest = super().names_to_path(path_names, opts, allow_many, fail_on_missing)
        except FieldError as error:
            if "Choices are" not in str(error):
                raise
            raise refusal from None
        return (*path_parts, [str(name) for name in rest])

    def add_annotation(self, annotation: Any, alias: str, select: bool = True) -> None:
        super().add_annotation(annotation, alias, select)
        # An annotation contains each annotation that it names. If each of 30 annotations names the previous annotation
        # twice, the last has 2**30 parts.
        self.policy.budget.count_parts(parts_of(self.annotations[alias], self.policy.parts))

    def resolve_ref(self, name: str, *args: Any, **kwargs: Any) -> Any:
        resolved = super().resolve_ref(name, *args, **kwargs)
        if name in self.annotations:
            self.policy.budget.count_parts(parts_of(resolved, self.policy.parts))
        return resolved

    def add_fields(self, field_names: Any, allow_m2m: bool = True) -> None:
        field_names = list(self.__dict__.pop("grouped_by", field_names))
        view = self.policy.view(self.model)
        if view is not None and field_names and view.local.keys() >= set(field_names):
            # Same result as the general code below for columns of the model's table; it saves half the time of a query.
            alias = self.get_initial_alias()
            self.set_select([view.local[name].get_col(alias if self.alias_cols else None) for name in field_names])
            return
        try:
            with self._reading():
                super().add_fields(field_names, allow_m2m)
        except FieldError as error:
            # Django replaces our error by an error that lists all fields.
            cause = error.__context__
            raise (cause if isinstance(cause, ClientFieldError) else error) from None

    def add_select_col(self, col: Any, name: str) -> None:
        """Add a column that ORDER BY of a union uses and that is not selected, so that its values keep rows apart.

        For instances, Django refuses the column or fails: each row would have one value more than the model has fields.
        """
        if self.of_instances:
            raise DatabaseError("ORDER BY term does not match any column in the result set.")
        super().add_select_col(col, name)

    def check_related_objects(self, field: Any, value: Any, opts: Any) -> None:
        """Check the models of instances in a comparison with a relation; Django's error would contain their texts."""
        if not holds_instance(value):
            super().check_related_objects(field, value, opts)
            return
        if field.is_relation:
            values = value if isinstance(value, list | tuple | set | frozenset) else [value]
            self._check_models(field, [item for item in values if is_instance(item)], opts)

    def build_lookup(self, lookups: Any, lhs: Any, rhs: Any) -> Any:
        """Return Django's lookup; an instance is replaced by the value of the column that the relation leads to."""
        if not holds_instance(rhs):
            return super().build_lookup(lookups, lhs, rhs)
        field = lhs.output_field
        *transforms, name = lookups or ["exact"]
        if transforms or not field.is_relation or name not in _RELATED:
            raise TypeError(f"Field {_name_of(field)!r} expected a value, and was given an instance of a model.")
        if name == "in" and isinstance(rhs, list | tuple | set | frozenset):
            rhs = self._compared(field, list(rhs))
        else:
            related_values = self._compared(field, [rhs])
            # The client does not see the row of the instance, so no row is related to it.
            name, rhs = (name, related_values[0]) if related_values else ("in", [])
        return super().build_lookup([name], lhs, rhs)

    def _compared(self, field: Any, values: list[Any]) -> list[Any]:
        """Return ``values`` with instances replaced by the values of the related columns; missing rows are left out."""
        references = self.policy.references
        path = _path_to(field)
        instances = [value for value in values if is_instance(value)]
        plain_values = [value for value in values if not is_instance(value)]
        if holds_instance(plain_values):
            raise TypeError(f"Field {_name_of(field)!r} expected an instance of a model, and not a container of some.")
        self._check_models(field, instances, path.to_opts)
        columns = [references.targets(instances, target) for target in path.target_fields]
        return [*(columns[0] if len(columns) == 1 else zip(*columns, strict=True)), *plain_values]

    def _check_models(self, field: Any, instances: list[Any], opts: Any) -> None:
        """Raise Django's ValueError for an instance of a model that is not a target of the relation."""
        for model in {self.policy.references.model(instance) for instance in instances}:
            if not check_rel_lookup_compatibility(model, opts, field):
                raise ValueError(
                    f'Cannot query by an instance of "{model.__name__}": Must be "{opts.object_name}" instance.'
                )

    def setup_joins(self, *args: Any, **kwargs: Any) -> Any:
        join_info = super().setup_joins(*args, **kwargs)
        self.ends_in_relation = join_info.final_field.is_relation
        return join_info

    def trim_joins(self, targets: Any, joins: Any, path: Any) -> Any:
        if self.keeps_joins:  # except for a foreign key that is selected itself
            path = path[-1:] if self.ends_in_relation else []
        return super().trim_joins(targets, joins, path)

    @contextlib.contextmanager
    def _reading(self) -> Any:
        """Resolve names for the selection only."""
        before, self.use = self.use, Use.READ
        try:
            yield
        finally:
            self.use = before

    def set_values(self, fields: Any) -> None:
        view = self.policy.view(self.model)
        attnames = view.attnames if view is not None else (self.model._meta.pk.attname,)
        if view is None or view.hides:
            if not fields:
                fields = (*self.extra_select, *attnames, *self.annotation_select)
            if self.group_by is True:
                self.grouped_by = attnames  # group by the visible columns; Django would add the hidden columns
        # select_related() recognizes a missing related row by the key in the related table, not by the foreign key. A
        # filter by a window function selects from a subquery, and there a foreign key and the equal key of the parent
        # would become one column.
        self.keeps_joins = bool(self.select_related) or self.where.contains_over_clause
        try:
            with self._reading():
                super().set_values(fields)
        finally:
            self.keeps_joins = False

    def exists(self, *args: Any, **kwargs: Any) -> Any:
        """Group by the visible columns; Django would use all columns of the model, including hidden columns."""
        view = self.policy.view(self.model)
        if self.group_by is not True or (view is not None and not view.hides):
            return super().exists(*args, **kwargs)
        query = self.clone()
        query.grouped_by = view.attnames if view is not None else (self.model._meta.pk.attname,)
        return super(_Checked, query).exists(*args, **kwargs)

    def chain(self, klass: Any = None) -> Any:
        return super().chain(_CLASSES.get(klass, klass))

    def get_compiler(self, using: Any = None, connection: Any = None, elide_empty: bool = True) -> Any:
        if using:
            connection = connections[using]
        compiler = audited(connection.ops.compiler(self.compiler))
        return compiler(self, connection, using, elide_empty)


class ClientQuery(_Checked, Query):
    """SELECT query of a client.

    - ``all_columns``: the outermost query loads complete instances for the service's code, with hidden fields.
    - ``raw_rows``: the values are those of the database, without the conversion by ``from_db_value`` of the fields.
    """

    all_columns = False
    raw_rows = False

    def __init__(self, model: Any, alias_cols: bool = True) -> None:
        super().__init__(model, alias_cols)
        self.policy = CURRENT.get()


class ClientUpdateQuery(_Checked, UpdateQuery):
    """UPDATE query of a client; the permission to set its values is checked before this object is made."""

    def get_related_updates(self) -> Any:
        queries = [update_query_as(query, ClientUpdateQuery) for query in super().get_related_updates()]
        for query in queries:
            query.policy = self.policy
        return queries


_CLASSES: dict[Any, Any] = {Query: ClientQuery, UpdateQuery: ClientUpdateQuery}


def client_queryset(model: type[Model], policy: Policy) -> QuerySet:
    """Return all rows of ``model`` that the client may see, as a queryset for the client's further methods."""
    rows = policy.rows(model)
    manager = model._default_manager
    kind = type(rows) if rows is not None else queryset_class(manager)
    using = database_of(rows if rows is not None else manager)
    query = ClientQuery(model)
    ordering = model._meta.ordering
    if ordering:
        _hide_ordering(query, ordering)
    return kind(model=model, query=query, using=using)


def _hide_ordering(query: ClientQuery, ordering: Any) -> None:
    """Remove the parts of ``Meta.ordering`` that name a hidden field, because the order of rows reveals its values."""
    visible = [item for item in ordering if may_order_by(query.policy, query.get_meta(), item)]
    if len(visible) < len(ordering):
        query.clear_ordering(force=True)
        query.add_ordering(*visible)


def parts_of(expression: Any, numbers: dict[int, tuple[Any, int]]) -> int:
    """Return the number of expressions in an expression; a part that is used twice counts twice.

    ``numbers`` is a cache of the numbers by the ids of the expressions.
    """
    entry = numbers.get(id(expression))
    if entry is None:
        sources = expression.get_source_expressions() if hasattr(expression, "get_source_expressions") else ()
        entry = numbers[id(expression)] = (
            expression,
            1 + sum([parts_of(source, numbers) for source in sources if source is not None]),
        )
    return entry[1]


def is_client(queryset: Any) -> bool:
    return isinstance(queryset.query, _Checked)


def trusted(queryset: QuerySet) -> QuerySet:
    """Return the rows of a client's query as a query for the service's code, which is not checked when it runs.

    The client's conditions, order, annotations and slice are checked here, without running SQL; raises the error of
    that check. Options of the client that load more or less than the rows (``select_related``, ``prefetch_related``,
    ``only``, ``defer``) are removed: they are not compiled here, and the service's code expects complete rows.
    """
    if not is_client(queryset):
        return queryset
    policy = queryset.query.policy
    report = audit(queryset)
    if report.scoped or (queryset.query.combinator and not selects_columns(queryset)):
        # A table was replaced by the rows that the client may see; this must stay in the query. The arms of a union
        # select the fields that the client may see, and the service's code needs complete rows.
        rows = policy.rows(queryset.model)
        base = rows if rows is not None else queryset.model._default_manager.get_queryset()
        return base.filter(pk__in=queryset.order_by().values("pk"))
    rows_only = clone(queryset)
    rows_only.query = plain_query(rows_only.query)
    rows_only.query.select_related = False
    rows_only.query.clear_deferred_loading()
    set_prefetch_lookups(rows_only, ())
    set_known_parents(rows_only, {})
    return rows_only


def audit(queryset: QuerySet) -> Any:
    """Compile a client's query without running it; the attributes of the compiler report the result (``scoped``)."""
    probe = clone(queryset)
    if not selects_columns(probe) and not probe.query.combinator and not probe.query.distinct_fields:
        probe.query.select_related = False
    compiler = probe.query.get_compiler(using=queryset.db, elide_empty=False)
    with contextlib.suppress(EmptyResultSet):
        compiler.as_sql()
    return compiler
