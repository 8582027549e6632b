"""Permissions of the client of one request: the models, fields, rows and operations that it may use.

Names are checked twice. `Policy.blocked` checks each name before Django resolves it, so a hidden name gets the same
error as an unknown name. When the query is compiled, the columns and tables of its SQL are checked (``audit.py``).
The second check decides, because each name in a query passes it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, FieldError, PermissionDenied
from django.db.models import Model, QuerySet

from django_rpc.errors import UnknownModel
from django_rpc.server.conf import settings
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.django_compat import filtered_relations
from django_rpc.server.errors.public import public_error
from django_rpc.server.errors.sent_values import SentValues
from django_rpc.server.query.statements import StatementBudget
from django_rpc.server.registry.exposure import Exposure
from django_rpc.server.registry.functions import ServerFunction, unknown_function
from django_rpc.server.registry.model_rpc import OPERATIONS, OpenModelRpc
from django_rpc.server.registry.site import RpcSite

__all__ = ["CURRENT", "ClientFieldError", "Policy", "Use", "relation_named", "unknown_keyword", "unknown_model"]


class Use(enum.Enum):
    """Purpose of a name in a query; the value is the attribute of `Exposure` with the names that are allowed for it.

    The audit of the compiled query checks the use of each column again.
    """

    READ = "names"
    #: In a condition, an order, an expression.
    FILTER = "filterable"
    #: In any way: to follow a relation, to order, to group, to compare.
    ANY = "usable"


class Blocked(NamedTuple):
    """A name in a path that a client may not use: its position, and the options of the model at that position.

    ``relation`` is set if the name before it is a relation that the client may read but not follow. It holds the
    options of the model with that relation, and the name of the relation.
    """

    position: int
    opts: Any
    relation: tuple[Any, str] | None = None


_NO_COLUMNS: frozenset[str] = frozenset()
#: Operations that also change a row in the tables of the parent models.
WRITES = OPERATIONS - {"read"}


class Columns(NamedTuple):
    """Columns of one table: those that a query may select, may use anywhere, and may only compare with values."""

    readable: frozenset[str] = _NO_COLUMNS
    used: frozenset[str] = _NO_COLUMNS
    compared: frozenset[str] = _NO_COLUMNS


@public_error
class ClientFieldError(FieldError):
    """FieldError with a text that names no model or field that is hidden from the client."""


def unknown_model(label: str) -> UnknownModel:
    """Return the error for a model that does not exist or is hidden from the client."""
    return public_error(UnknownModel(f"This service has no model {label!r}."))


#: The policy of the request that this thread or task evaluates.
CURRENT: ContextVar[Policy] = ContextVar("django_rpc_policy")


def unknown_keyword(name: str, choices: Iterable[str]) -> ClientFieldError:
    """Return Django's error for the name of no field; the error lists only ``choices``."""
    return ClientFieldError(f"Cannot resolve keyword '{name}' into field. Choices are: {', '.join(sorted(choices))}")


class Policy:
    """Permissions in one request; each result is computed once and then cached."""

    __slots__ = (
        "_columns",
        "_exposures",
        "_rows",
        "_views",
        "budget",
        "failures",
        "parts",
        "references",
        "request",
        "scope_sql",
        "sent",
        "site",
    )

    def __init__(self, site: RpcSite, request: RpcRequest, budget: StatementBudget | None = None) -> None:
        self.site = site
        #: Resolves the instances that the client names; set by the evaluator of the request.
        self.references: Any = None
        #: Statements, rows and seconds that the request uses.
        self.budget = StatementBudget() if budget is None else budget
        self.request = request
        #: Error codes of single values that could not be computed, in a request that succeeds.
        self.failures: list[str] = []
        #: Names and values that the client sent; the text of an error may repeat these.
        self.sent = SentValues()
        self._exposures: dict[type[Model], Exposure | None] = {}
        self._views: dict[type[Model], Exposure | None] = {}
        self._columns: dict[str, Columns | None] = {}
        self._rows: dict[type[Model], QuerySet | None] = {}
        #: id -> (expression, number of its parts), for `query.parts_of`.
        self.parts: dict[int, tuple[Any, int]] = {}
        #: (model, connection alias) -> SQL of the rows that the client may see, for the compilers.
        self.scope_sql: dict[tuple[type[Model], str], tuple[str, tuple[Any, ...]]] = {}

    # Models

    def model(self, label: str) -> type[Model]:
        """Return the model with the label that the client sent; raises UnknownModel."""
        parts = label.split(".")
        try:
            model = apps.get_model(parts[0], parts[1])
            if len(parts) == 3:
                model = model._meta.get_field(parts[2]).remote_field.through
                if not model._meta.auto_created:
                    raise unknown_model(label)
        except (LookupError, FieldDoesNotExist, AttributeError):
            raise unknown_model(label) from None
        exposure = self.exposure(model)
        if exposure is None or not any(self.can(model, operation) for operation in (*OPERATIONS, *exposure.methods)):
            raise unknown_model(label)
        return model

    def exposure(self, model: type[Model]) -> Exposure | None:
        """Return the exposure of ``model`` for this client, also if the client may not read the model."""
        try:
            return self._exposures[model]
        except KeyError:
            pass
        exposure = self.site.exposure(model)
        if exposure is None and model._meta.auto_created:
            exposure = self._through(model)
        if exposure is None and model._meta.proxy:
            exposure = self.site.exposure(model._meta.concrete_model)
        exposure = self._exposures[model] = None if exposure is None else exposure.for_request(self.request)
        return exposure

    def exposed(self, model: type[Model]) -> Exposure:
        """Return the exposure of ``model``; raises UnknownModel for a model that is hidden from the client."""
        exposure = self.exposure(model)
        if exposure is None:
            raise unknown_model(model._meta.label)
        return exposure

    def _through(self, model: type[Model]) -> Exposure | None:
        """Return the exposure of an automatic through table, if its many-to-many field is exposed."""
        field = through_field(model)
        owner = self.exposure(field.model) if field is not None else None
        if owner is None or field.name not in owner.usable:
            return None
        return Exposure(model, OpenModelRpc(model))

    def view(self, model: type[Model]) -> Exposure | None:
        """Return the exposure of ``model`` if this client may read the model, else None."""
        try:
            return self._views[model]
        except KeyError:
            exposure = self.exposure(model)
            view = exposure if exposure is not None and self.can(model, "read") else None
            self._views[model] = view
            return view

    def can(self, model: type[Model], operation: str) -> bool:
        """Return True if this client has the permission for ``operation`` on ``model``."""
        if model._meta.auto_created:
            field = through_field(model)
            owner = self.exposure(field.model)
            if owner is None or field.name not in owner.usable:
                return False
            if operation == "read":
                return self.can(field.model, "read")
            return field.name in owner.writable and self.can(field.model, "update")
        exposure = self.exposure(model)
        if exposure is None or not exposure.rpc.has_permission(self.request, operation):
            return False
        return operation not in WRITES or all(self.can(parent, operation) for parent in self._written_with(model))

    def _written_with(self, model: type[Model]) -> list[type[Model]]:
        """Return the exposed parents of ``model``; with multi-table inheritance, a write also writes their rows."""
        concrete = model._meta.concrete_model
        parents = [parent for parent in model._meta.get_parent_list() if parent._meta.concrete_model is not concrete]
        return [parent for parent in parents if self.exposure(parent) is not None]

    def require(self, model: type[Model], operation: str) -> Exposure:
        """Return the exposure of ``model``; raises PermissionDenied if this client may not do ``operation``."""
        exposure = self.exposure(model)
        if exposure is None:
            raise unknown_model(model._meta.label)
        if not self.can(model, operation):
            refusing = [parent for parent in self._written_with(model) if not self.can(parent, operation)]
            if not refusing or not exposure.rpc.has_permission(self.request, operation):
                refusing = [model]
            raise PermissionDenied(f"This client may not {operation} {refusing[-1]._meta.label}.")
        return exposure

    def function(self, name: str) -> ServerFunction:
        """Return the function with the name that the client sent.

        Raises UnknownFunction, with the same text if the function exists but the client may not call it.
        """
        function = self.site.functions.get(name)
        if function is None or not function.is_open_to(self.request):
            open_names = [
                candidate.name for candidate in self.site.functions.values() if candidate.is_open_to(self.request)
            ]
            raise unknown_function(name, open_names)
        return function

    # Names

    def sees(self, model: type[Model], field: Any, name: str, use: Use = Use.ANY) -> bool:
        """Return True if a query of this client may ``use`` the field ``field`` of ``model`` under ``name``."""
        view = self.view(model)
        if view is None:
            # The primary key of a related model equals the value of the foreign key, which the client sees already.
            return field is model._meta.pk
        if name in getattr(view, use.value):
            return True
        if field.auto_created and not field.concrete:
            owner = self.view(field.related_model)
            return owner is not None and field.remote_field.name in owner.usable
        return False

    def choices(self, model: type[Model]) -> list[str]:
        """Return the names that an error may list as fields of ``model``."""
        view = self.view(model)
        if view is None:
            return ["pk"]
        relations = [
            f.name
            for f in model._meta.get_fields()
            if f.auto_created and not f.concrete and self.sees(model, f, f.name)
        ]
        return [*view.choices, *relations]

    def blocked(self, names: Sequence[str], opts: Any, query: Any = None, use: Use = Use.FILTER) -> Blocked | None:
        """Return the first hidden or unknown name of ``names``, a path from ``opts``; None if all names are allowed.

        Names after a field that is not a relation are transforms and lookups. They are not checked here.
        """
        if len(names) == 1:  # the usual case
            view = self.view(opts.model)
            if view is not None and names[0] in getattr(view, use.value):
                return None
        for position, name in enumerate(names):
            if opts is None:
                return None
            try:
                field = opts.pk if name == "pk" else opts.get_field(name)
            except FieldDoesNotExist:
                field = None
            if field is not None and self.sees(opts.model, field, name, use):
                here, opts = opts, field.related_model._meta if field.is_relation and field.related_model else None
                if opts is not None and position + 1 < len(names) and not self.sees(here.model, field, name):
                    return Blocked(position + 1, opts, (here, name))
                continue
            if field is None and position == 0 and query is not None:
                if name in query.annotation_select:
                    return None
                if name in filtered_relations(query):
                    opts = self._through_alias(query, filtered_relations(query)[name], opts)
                    continue
            return Blocked(position, opts)
        return None

    def knows(self, model: type[Model], name: str) -> bool:
        """Return True if the client may use the field of this name for any purpose."""
        view = self.view(model)
        return view is not None and (name in view.names or name in view.filterable or name in view.computed)

    def latest_by(self, model: type[Model]) -> tuple[str, ...]:
        """Return the names in ``Meta.get_latest_by``; an empty tuple if the client may not order by one of them."""
        latest = model._meta.get_latest_by or ()
        names = (latest,) if isinstance(latest, str) else tuple(latest)
        paths = [name.lstrip("-").split("__") for name in names]
        return names if all(self.blocked(path, model._meta, use=Use.ANY) is None for path in paths) else ()

    def touched(self) -> list[type[Model]]:
        """Return the models that the request has used and that the client may know."""
        return [model for model, exposure in self._exposures.items() if exposure is not None]

    def names_field(self, name: str) -> bool:
        """Return True if a model that the request has used has a field of this name for the client."""
        exposures = [exposure for exposure in self._exposures.values() if exposure is not None]
        return any(name in view.names or name in view.writable or name in view.filterable for view in exposures)

    def refusal(self, model: type[Model], name: str, choices: Iterable[str] = ()) -> ClientFieldError:
        """Return the error for a blocked name.

        It equals the error for an unknown name, unless the client may use the field for another purpose.
        """
        view = self.view(model)
        if view is not None and name in view.computed:
            return ClientFieldError(f"'{name}' is computed by the service: it can be read, and not be used in a query.")
        if view is not None and name in view.names:
            return ClientFieldError(f"'{name}' can be read, and not be used in a query.")
        if view is not None and name in view.filterable:
            return ClientFieldError(f"'{name}' can be compared with a value (exact, in, isnull), and nothing else.")
        return unknown_keyword(name, [*self.choices(model), *choices])

    def _through_alias(self, query: Any, relation: Any, opts: Any) -> Any:
        """Return the options of the model at the end of a FilteredRelation; its path was checked when it was added."""
        names = relation.relation_name.split("__")
        before = filtered_relations(query).get(names[0])
        if before is not None and before is not relation:
            opts = self._through_alias(query, before, opts)
            names = names[1:]
        for name in names if opts is not None else ():
            related = opts.get_field(name).related_model
            if related is None:
                return None
            opts = related._meta
        return opts

    def check_path(self, model: type[Model], path: str, use: Use = Use.ANY) -> Any:
        """Return the field at the end of ``path``; raises Django's FieldDoesNotExist for a hidden or unknown name."""
        opts, field = model._meta, None
        names = path.split("__")
        for position, name in enumerate(names):
            last = position == len(names) - 1
            if self.blocked((name,), opts, use=use if last else Use.ANY) is not None:
                if self.knows(opts.model, name):
                    raise self.refusal(opts.model, name)
                raise FieldDoesNotExist(f"{opts.object_name} has no field named '{name}'")
            field = opts.pk if name == "pk" else opts.get_field(name)
            opts = field.related_model._meta if field.is_relation and field.related_model else opts
        return field

    # Columns and rows

    def columns(self, table: str) -> Columns | None:
        """Return the columns of ``table`` that a query of this client may use; None if it may not use the table."""
        try:
            return self._columns[table]
        except KeyError:
            pass
        views = [self.view(exposure.model) for exposure in self.site.tables.get(table, ())]
        merged = None
        for view in views:  # nearly always a single view
            if view is None or table not in view.readable:
                continue
            used, compared = view.used.get(table, _NO_COLUMNS), view.compared.get(table, _NO_COLUMNS)
            visible = Columns(view.readable[table], used, compared)
            merged = visible if merged is None else Columns(*map(frozenset.union, merged, visible))
        self._columns[table] = merged
        return merged

    def rows(self, model: type[Model]) -> QuerySet | None:
        """Return the rows of ``model`` that are visible to this client, as a trusted query; None if all rows are."""
        try:
            return self._rows[model]
        except KeyError:
            pass
        exposure = self.exposure(model)
        rows = None
        if exposure is not None and model._meta.auto_created:
            rows = self._through_rows(model)
        elif exposure is not None:
            rows = self._own_rows(exposure)
            for parent in model._meta.get_parent_list():
                # A row of a child model is also a row of each parent model, and is visible only if these rows are.
                of_parent = self.rows(parent)
                if of_parent is not None:
                    base = rows if rows is not None else model._base_manager.all()
                    rows = base.filter(**{f"{parent._meta.pk.name}__in": of_parent.order_by().values("pk")})
        self._rows[model] = rows
        return rows

    def _own_rows(self, exposure: Exposure) -> QuerySet | None:
        if exposure.plain_rows or (not settings.STRICT and not exposure.has_own_rows):
            return None
        queryset = exposure.rpc.get_queryset(self.request)
        return queryset if narrows(queryset) else None

    def default_rows(self, model: type[Model]) -> QuerySet | None:
        """Return the rows of the default manager if they are not the scope of the client; None if these are all rows.

        Clients of a service with ``STRICT=False`` are trusted. As in Django, a query then starts with the default
        manager, while related rows, ``save()`` and ``delete()`` do not use it.
        """
        exposure = self.exposure(model)
        if settings.STRICT or exposure is None or exposure.plain_rows or exposure.has_own_rows:
            return None
        rows = model._default_manager.get_queryset()
        return rows if narrows(rows) else None

    def shows(self, instance: Any) -> bool:
        """Return True if the client may see the row of ``instance``, which code of the service returned."""
        if self.view(type(instance)) is None:
            return False
        rows = self.rows(type(instance))
        return rows is None or rows.filter(pk=instance.pk).exists()

    def _through_rows(self, model: type[Model]) -> QuerySet | None:
        conditions = {}
        for field in model._meta.concrete_fields:
            if field.is_relation:
                rows = self.rows(field.related_model)
                if rows is not None:
                    conditions[f"{field.name}__in"] = rows.order_by().values("pk")
        return model._base_manager.filter(**conditions) if conditions else None

    def rows_of_table(self, model: type[Model], table: str) -> tuple[type[Model], QuerySet] | None:
        """Return the model that restricts the rows of a table in a query of ``model``, with its visible rows.

        None if the client may see all rows of the table.
        """
        candidates = [model] if self.exposure(model) is not None else []
        if not candidates or model._meta.db_table != table:
            candidates = [e.model for e in self.site.tables.get(table, ()) if e.model._meta.db_table == table]
        for candidate in candidates[:1]:
            rows = self.rows(candidate)
            if rows is not None:
                return candidate, rows
        return None


def relation_named(policy: Policy, model: type[Model], name: str) -> Any:
    """Return the relation of ``model`` with the accessor ``name``; FieldDoesNotExist if the client does not see it."""
    opts = model._meta
    for field in opts.related_objects:
        if field.get_accessor_name() == name:
            break
    else:
        field = opts.get_field(name)
        if field.auto_created and not field.concrete:
            raise FieldDoesNotExist(f"{opts.object_name} has no field named '{name}'")
    visible = field.is_relation and field.related_model and policy.sees(model, field, field.name)
    if not visible or policy.view(field.related_model) is None:
        raise FieldDoesNotExist(f"{opts.object_name} has no field named '{name}'")
    return field


def through_field(model: type[Model]) -> Any:
    """Return the many-to-many field of an automatic through model."""
    for field in model._meta.auto_created._meta.local_many_to_many:
        if field.remote_field.through is model:
            return field
    return None


def narrows(queryset: QuerySet) -> bool:
    """Return True if a queryset may hold fewer rows than its table."""
    query = queryset.query
    return bool(
        query.where
        or query.is_sliced
        or query.distinct
        or query.combinator
        or query.extra_tables
        or query.distinct_fields
    )
