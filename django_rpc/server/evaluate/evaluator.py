"""The state of one evaluation: what each node has become, and how the visitors get at models and arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from inspect import getattr_static, isfunction
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet

from django_rpc.graph.node import Item, Node, Source
from django_rpc.graph.values import Expr
from django_rpc.server.evaluate.sizes import Sizes
from django_rpc.server.expressions import Resolver
from django_rpc.server.policy import Policy
from django_rpc.server.query import client_queryset, is_client
from django_rpc.server.references import References
from django_rpc.server.results import Results
from django_rpc.wire.messages import Request

__all__ = ["Evaluator", "check_free"]


def check_free(model: type[Model], names: Iterable[str]) -> None:
    """Raise ValueError for a name that an instance of ``model`` has something else under.

    A value in the place of a method of the model's own harms nobody, and Django allows it: called, it raises TypeError.
    One in the place of a property, or of what Django's ``Model`` has, would be taken for what it is not.
    """
    for name in names:
        if hasattr(model, name) and (hasattr(Model, name) or not isfunction(getattr_static(model, name))):
            raise ValueError(f"The annotation '{name}' conflicts with a field on the model.")


class Evaluator:
    """``position`` is the node at work, for errors; ``writes`` whether the request changes anything."""

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
        self.position: int | None = None
        self.values: dict[Node, Any] = {}
        self.results = Results(policy, request.shapes)
        #: Whether nothing but the answer needs the value of the node at work.
        self.is_leaf = False
        #: Called before code of the service's own, which may do what no transaction takes back.
        self.before_own_code: Callable[[], None] = lambda: None
        self.sizes = Sizes(policy.budget.limits)
        self._once: dict[Any, Any] = {}
        prepared = {k: partial(v, self) for k, v in special.items()}
        self.resolve = Resolver(self.values, prepared, policy.site.expressions)
        self.references = policy.references = References(self)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, called once for a ``key`` however often the request asks for it."""
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]

    @cached_property
    def taken_from(self) -> dict[Node, set[str]]:
        """The fields that other nodes of the request take from the answer to a save, as ``save[1]["number"]``."""
        found: dict[Node, set[str]] = {}
        for node in self.request.nodes:
            if isinstance(node, Item) and isinstance(node.parent, Item) and isinstance(node.key, str):
                found.setdefault(node.parent.parent, set()).add(node.key)
        return found

    def objects(self, model: type[Model]) -> QuerySet:
        """All rows of ``model`` that the client may see."""
        queryset = client_queryset(model, self.policy)
        if self.writes and queryset._db is None:
            # A replica may not have yet what this transaction has written.
            queryset._db = router.db_for_write(model)
        return queryset

    def default_objects(self, model: type[Model]) -> QuerySet:
        """The rows with which a query of the client starts: those of the model's default manager."""
        rows = self.policy.default_rows(model)
        queryset = self.objects(model)
        return queryset if rows is None else queryset.filter(pk__in=rows.order_by().values("pk"))

    def source(self, node: Source) -> QuerySet:
        """The rows of a source."""
        model = self.policy.model(node.model)
        return self.objects(model) if node.base else self.default_objects(model)

    def noted(self, frame: Any) -> Any:
        """A frame of values that was made; a profile counts them."""
        return frame

    def complete(self, queryset: QuerySet) -> QuerySet:
        """``queryset`` set to load complete instances, since the server's own code may work on them."""
        view = self.policy.view(queryset.model)
        if queryset._fields is None and view is not None and view.hides:
            queryset = queryset._chain()
            queryset.query.all_columns = True
        return queryset

    def as_client(self, queryset: QuerySet) -> QuerySet:
        """A queryset that the client may go on writing: one that a registered method returned is narrowed to it."""
        if is_client(queryset):
            return queryset
        if queryset._fields is not None:
            raise TypeError("The queryset of values that a registered method returned cannot be refined.")
        return self.objects(queryset.model).filter(pk__in=queryset)
