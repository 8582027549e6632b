"""Who may see and do what, in one request.

Names are answered for before Django resolves them (`Policy.blocked`), and the columns and tables of the compiled
query once more when it is compiled (``audit.py``), which is the ground truth: the first makes the error of a hidden
name equal to that of an unknown one, the second needs no list of the ways by which a name can come in.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, FieldError, PermissionDenied
from django.db.models import Model, QuerySet

from django_rpc.server.budget import Budget
from django_rpc.server.conf import settings
from django_rpc.server.error_texts import public_error
from django_rpc.server.exposure import Exposure
from django_rpc.server.functions import ServerFunction, UnknownFunction
from django_rpc.server.options import OPERATIONS, OpenModelRpc
from django_rpc.server.request import RpcRequest
from django_rpc.server.sent import Sent
from django_rpc.server.sites import RpcSite

__all__ = ["CURRENT", "ClientFieldError", "Policy", "UnknownModel", "Use", "relation_named", "unknown_keyword"]


class Use(enum.Enum):
    """What a name is for.  Which columns of a query may do what they do, the audit of the compiled query knows."""

    READ = "names"
    #: In a condition, an order, an expression.
    FILTER = "filterable"
    #: Both: to lead further, to order by, to tell rows apart.
    ANY = "usable"


class Blocked(NamedTuple):
    """A name of a path that a client may not use: its position, the model's options there.

    ``relation``: where it is a relation that leads no further, the options of its model, and its name.
    """

    position: int
    opts: Any
    relation: tuple[Any, str] | None = None


_NO_COLUMNS: frozenset[str] = frozenset()
#: The operations that change a row in the tables of the parents too.
WRITES = OPERATIONS - {"read"}


class Columns(NamedTuple):
    """Of one table: the columns that a client's query may select, use in any way, and only compare with values."""

    readable: frozenset[str] = _NO_COLUMNS
    used: frozenset[str] = _NO_COLUMNS
    compared: frozenset[str] = _NO_COLUMNS


@public_error
class ClientFieldError(FieldError):
    """A FieldError whose text names nothing that its client may not see."""


@public_error
class UnknownModel(LookupError):
    """The model is not there, or not for this client."""

    def __init__(self, label: str) -> None:
        super().__init__(f"This service has no model {label!r}.")


#: The policy of the request that this thread or task evaluates.
CURRENT: ContextVar[Policy] = ContextVar("django_rpc_policy")


def unknown_keyword(name: str, choices: Iterable[str]) -> ClientFieldError:
    """Django's error for a name that no field has, listing only ``choices``."""
    return ClientFieldError(f"Cannot resolve keyword '{name}' into field. Choices are: {', '.join(sorted(choices))}")


class Policy:
    """The answers for one request; each is worked out at most once."""

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

    def __init__(self, site: RpcSite, request: RpcRequest, budget: Budget | None = None) -> None:
        self.site = site
        #: Resolves the instances that the client names; set by the evaluator of the request.
        self.references: Any = None
        #: What the request costs.
        self.budget = Budget() if budget is None else budget
        self.request = request
        #: Codes of single values that could not be had, of a request that is answered.
        self.failures: list[str] = []
        #: Names and values in the request, which errors may repeat.
        self.sent = Sent()
        self._exposures: dict[type[Model], Exposure | None] = {}
        self._views: dict[type[Model], Exposure | None] = {}
        self._columns: dict[str, Columns | None] = {}
        self._rows: dict[type[Model], QuerySet | None] = {}
        #: (model, connection alias) -> SQL of the rows that the client may see, for the compilers.
        #: id -> (expression, how many it holds), for `query.parts_of`.
        self.parts: dict[int, tuple[Any, int]] = {}
        self.scope_sql: dict[tuple[type[Model], str], tuple[str, tuple[Any, ...]]] = {}

    # Models

    def model(self, label: str) -> type[Model]:
        """The model that a client calls ``label``; raises UnknownModel."""
        parts = label.split(".")
        try:
            model = apps.get_model(parts[0], parts[1])
            if len(parts) == 3:
                model = model._meta.get_field(parts[2]).remote_field.through
                if not model._meta.auto_created:
                    raise UnknownModel(label)
        except (LookupError, FieldDoesNotExist, AttributeError):
            raise UnknownModel(label) from None
        exposure = self.exposure(model)
        if exposure is None or not any(self.can(model, operation) for operation in (*OPERATIONS, *exposure.methods)):
            raise UnknownModel(label)
        return model

    def exposure(self, model: type[Model]) -> Exposure | None:
        """What is exposed of ``model`` to this client, whether or not it may read it."""
        try:
            return self._exposures[model]
        except KeyError:
            pass
        found = self.site.exposure(model)
        if found is None and model._meta.auto_created:
            found = self._through(model)
        if found is None and model._meta.proxy:
            found = self.site.exposure(model._meta.concrete_model)
        found = self._exposures[model] = None if found is None else found.for_request(self.request)
        return found

    def _through(self, model: type[Model]) -> Exposure | None:
        """An automatic through table is exposed where its many-to-many field is."""
        field = through_field(model)
        owner = self.exposure(field.model) if field is not None else None
        if owner is None or field.name not in owner.usable:
            return None
        return Exposure(model, OpenModelRpc(model))

    def view(self, model: type[Model]) -> Exposure | None:
        """What this client may read of ``model``; None where it may read nothing."""
        try:
            return self._views[model]
        except KeyError:
            exposure = self.exposure(model)
            view = exposure if exposure is not None and self.can(model, "read") else None
            self._views[model] = view
            return view

    def can(self, model: type[Model], operation: str) -> bool:
        """Whether this client may do ``operation`` with ``model`` at all."""
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
        return operation not in WRITES or all(self.can(one, operation) for one in self._written_with(model))

    def _written_with(self, model: type[Model]) -> list[type[Model]]:
        """The exposed parents of ``model``: by multi-table inheritance, a write of a row writes theirs."""
        concrete = model._meta.concrete_model
        parents = [parent for parent in model._meta.get_parent_list() if parent._meta.concrete_model is not concrete]
        return [parent for parent in parents if self.exposure(parent) is not None]

    def require(self, model: type[Model], operation: str) -> Exposure:
        """The exposure of ``model``; raises PermissionDenied unless this client may do ``operation``."""
        exposure = self.exposure(model)
        if exposure is None:
            raise UnknownModel(model._meta.label)
        if not self.can(model, operation):
            refusing = [one for one in self._written_with(model) if not self.can(one, operation)]
            if not refusing or not exposure.rpc.has_permission(self.request, operation):
                refusing = [model]
            raise PermissionDenied(f"This client may not {operation} {refusing[-1]._meta.label}.")
        return exposure

    def function(self, name: str) -> ServerFunction:
        """The function that a client calls ``name``; raises UnknownFunction, also where it may not call it."""
        found = self.site.functions.get(name)
        if found is None or not found.is_open_to(self.request):
            known = [one.name for one in self.site.functions.values() if one.is_open_to(self.request)]
            raise UnknownFunction(name, known)
        return found

    # Names

    def sees(self, model: type[Model], field: Any, name: str, use: Use = Use.ANY) -> bool:
        """Whether a query of this client may ``use`` ``field`` of ``model`` under ``name``."""
        view = self.view(model)
        if view is None:
            # The key of a related model is the value of the foreign key, which is visible where we come from.
            return field is model._meta.pk
        if name in getattr(view, use.value):
            return True
        if field.auto_created and not field.concrete:
            owner = self.view(field.related_model)
            return owner is not None and field.remote_field.name in owner.usable
        return False

    def choices(self, model: type[Model]) -> list[str]:
        """The names that an error may list as fields of ``model``."""
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
        """The first of ``names``, a path from ``opts``, that is hidden or unknown; None where there is none.

        Names after a field that is no relation are transforms and lookups, about which we say nothing.
        """
        if len(names) == 1:  # nearly all of them
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
                if name in query._filtered_relations:
                    opts = self._through_alias(query, query._filtered_relations[name], opts)
                    continue
            return Blocked(position, opts)
        return None

    def knows(self, model: type[Model], name: str) -> bool:
        """Whether the client may do something with the field of this name."""
        view = self.view(model)
        return view is not None and (name in view.names or name in view.filterable or name in view.computed)

    def latest_by(self, model: type[Model]) -> tuple[str, ...]:
        """``Meta.get_latest_by`` as names; as if there were none where it names what this client may not order by."""
        given = model._meta.get_latest_by or ()
        names = (given,) if isinstance(given, str) else tuple(given)
        paths = [name.lstrip("-").split("__") for name in names]
        return names if all(self.blocked(path, model._meta, use=Use.ANY) is None for path in paths) else ()

    def touched(self) -> list[type[Model]]:
        """Return the models that the request has used and that the client may know."""
        return [model for model, exposure in self._exposures.items() if exposure is not None]

    def names_field(self, name: str) -> bool:
        """Whether a model that the request has touched has a field of this name for the client."""
        found = [exposure for exposure in self._exposures.values() if exposure is not None]
        return any(name in one.names or name in one.writable or name in one.filterable for one in found)

    def refusal(self, model: type[Model], name: str, choices: Iterable[str] = ()) -> ClientFieldError:
        """The error for a name that is blocked: that of an unknown one, unless the client may do something with it."""
        view = self.view(model)
        if view is not None and name in view.computed:
            return ClientFieldError(f"'{name}' is computed by the service: it can be read, and not be used in a query.")
        if view is not None and name in view.names:
            return ClientFieldError(f"'{name}' can be read, and not be used in a query.")
        if view is not None and name in view.filterable:
            return ClientFieldError(f"'{name}' can be compared with a value (exact, in, isnull), and nothing else.")
        return unknown_keyword(name, [*self.choices(model), *choices])

    def _through_alias(self, query: Any, relation: Any, opts: Any) -> Any:
        """Where a FilteredRelation leads; its path was checked when it was added."""
        names = relation.relation_name.split("__")
        before = query._filtered_relations.get(names[0])
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
        """The field at the end of ``path``; raises Django's FieldDoesNotExist for a name that is not visible."""
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
        """The columns of ``table`` that a query of this client may touch; None: not even the table."""
        try:
            return self._columns[table]
        except KeyError:
            pass
        views = [self.view(exposure.model) for exposure in self.site.tables.get(table, ())]
        views = [view for view in views if view is not None and table in view.readable]
        found = None
        for view in views:  # nearly always one
            used, compared = view.used.get(table, _NO_COLUMNS), view.compared.get(table, _NO_COLUMNS)
            own = Columns(view.readable[table], used, compared)
            found = own if found is None else Columns(*map(frozenset.union, found, own))
        self._columns[table] = found
        return found

    def rows(self, model: type[Model]) -> QuerySet | None:
        """The rows of ``model`` that exist for this client; None where all do.  It is the server's own query."""
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
                # A row of a child is a row of its parents too, and is seen where these are.
                of_parent = self.rows(parent)
                if of_parent is not None:
                    base = rows if rows is not None else model._base_manager.all()
                    rows = base.filter(**{f"{parent._meta.pk.name}__in": of_parent.order_by().values("pk")})
        self._rows[model] = rows
        return rows

    def _own_rows(self, exposure: Exposure) -> QuerySet | None:
        if exposure.plain_rows or (not settings.STRICT and not exposure.has_own_rows):
            return None
        given = exposure.rpc.get_queryset(self.request)
        return given if narrows(given) else None

    def default_rows(self, model: type[Model]) -> QuerySet | None:
        """The rows of the default manager, where this is no scope; None where it holds all rows.

        Clients of a service with ``STRICT=False`` are trusted: as in Django, a query starts with the default manager,
        and related rows, ``save()`` and ``delete()`` do without it.
        """
        exposure = self.exposure(model)
        if settings.STRICT or exposure is None or exposure.plain_rows or exposure.has_own_rows:
            return None
        rows = model._default_manager.get_queryset()
        return rows if narrows(rows) else None

    def shows(self, instance: Any) -> bool:
        """Whether an instance that the server's own code came up with is a row that this client may see."""
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
        """The narrowed rows for a table that ``model`` brings into a query: (the model that narrows, its rows)."""
        candidates = [model] if self.exposure(model) is not None else []
        if not candidates or model._meta.db_table != table:
            candidates = [e.model for e in self.site.tables.get(table, ()) if e.model._meta.db_table == table]
        for candidate in candidates[:1]:
            rows = self.rows(candidate)
            if rows is not None:
                return candidate, rows
        return None


def relation_named(policy: Policy, model: type[Model], name: str) -> Any:
    """The relation that instances of ``model`` have under ``name``; FieldDoesNotExist unless the client sees it."""
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
    """The many-to-many field that made an automatic through model."""
    for field in model._meta.auto_created._meta.local_many_to_many:
        if field.remote_field.through is model:
            return field
    return None


def narrows(queryset: QuerySet) -> bool:
    """Whether a queryset may hold fewer rows than its table."""
    query = queryset.query
    return bool(
        query.where
        or query.is_sliced
        or query.distinct
        or query.combinator
        or query.extra_tables
        or query.distinct_fields
    )
