"""State of one evaluation: the values of the nodes, and access to models, rows and arguments for the visitors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from inspect import getattr_static, isfunction
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Item, ModelSource, Node
from django_rpc.graph.values import Expr
from django_rpc.server.django_compat import clone, database_of, selects_columns, set_database
from django_rpc.server.evaluate.memory_limits import Sizes
from django_rpc.server.policy.client_policy import Policy
from django_rpc.server.policy.references import References
from django_rpc.server.query.client_query import client_queryset, is_client
from django_rpc.server.query.expressions import Resolver
from django_rpc.server.results import ResultEncoder
from django_rpc.wire.messages import Request

__all__ = ["Evaluator", "check_free"]


def check_free(model: type[Model], names: Iterable[str]) -> None:
    """Raise ValueError for a name that is an attribute of ``model`` already.

    A value may replace a method that the project's model defines, as in Django: a call of it raises TypeError. A value
    in place of a property, or of an attribute of Django's ``Model``, would be mistaken for the attribute.
    """
    for name in names:
        if hasattr(model, name) and (hasattr(Model, name) or not isfunction(getattr_static(model, name))):
            raise ValueError(f"The annotation '{name}' conflicts with a field on the model.")


class Evaluator:
    """State of one request: ``position`` is the node at work, for errors; ``writes`` is True if the request writes."""

    def __init__(
        self,
        request: Request,
        policy: Policy,
        writes: bool,
        special: dict[str, Callable[[Evaluator, Expr], Any]],
    ) -> None:
        self.request = request
        self.policy = policy
        self.writes = writes
        #: True for a request that runs in a transaction, which cannot continue after an error of the database.
        self.in_transaction = writes
        self.position: int | None = None
        self.values: dict[Node, Any] = {}
        self.results = ResultEncoder(policy, request.shapes)
        #: True if only the reply needs the value of the node at work.
        self.is_leaf = False
        #: Called before code of the service, which may have effects that a rollback does not undo.
        self.before_own_code: Callable[[], None] = lambda: None
        self.sizes = Sizes(policy.budget.limits)
        self._once: dict[Any, Any] = {}
        prepared: dict[str, Callable[[Expr], Any]] = {k: partial(v, self) for k, v in special.items()}
        self.resolve = Resolver(self.values, prepared, policy.site.expressions)
        self.references = policy.references = References(self)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the result of ``make``, which is called at most once for each ``key`` in a request."""
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]

    @cached_property
    def taken_from(self) -> dict[Node, set[str]]:
        """Fields of the reply to a save that other nodes of the request use, as in ``save[1]["number"]``."""
        fields: dict[Node, set[str]] = {}
        for node in self.request.nodes:
            if isinstance(node, Item) and isinstance(node.parent, Item) and isinstance(node.key, str):
                fields.setdefault(node.parent.parent, set()).add(node.key)
        return fields

    def objects(self, model: type[Model]) -> QuerySet:
        """Return all rows of ``model`` that the client may see."""
        queryset = client_queryset(model, self.policy)
        if self.writes and database_of(queryset) is None:
            # A replica may not have the rows that this transaction has written.
            set_database(queryset, router.db_for_write(model))
        return queryset

    def default_objects(self, model: type[Model]) -> QuerySet:
        """Return the rows of the model's default manager that the client may see; a query of the client starts here."""
        rows = self.policy.default_rows(model)
        queryset = self.objects(model)
        return queryset if rows is None else queryset.filter(pk__in=rows.order_by().values("pk"))

    def source(self, node: ModelSource) -> QuerySet:
        """Return the rows of a source."""
        model = self.policy.model(node.model)
        return self.objects(model) if node.base else self.default_objects(model)

    def noted(self, environment: Any) -> Any:
        """Return a new environment of values unchanged; a subclass counts its values for a profile."""
        return environment

    def complete(self, queryset: QuerySet) -> QuerySet:
        """Return ``queryset`` with all columns, for instances that the service's code may use."""
        view = self.policy.view(queryset.model)
        if not selects_columns(queryset) and view is not None and view.hides:
            queryset = clone(queryset)
            queryset.query.all_columns = True
        return queryset

    def as_client(self, queryset: QuerySet) -> QuerySet:
        """Return a queryset that the client may refine; a registered method's result is limited to visible rows."""
        if is_client(queryset):
            return queryset
        if selects_columns(queryset):
            raise TypeError("The queryset of values that a registered method returned cannot be refined.")
        return self.objects(queryset.model).filter(pk__in=queryset)
