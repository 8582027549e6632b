"""The state of one evaluation: what each node has become, and how the visitors get at models and arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from inspect import getattr_static, isfunction
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.models import Model, QuerySet

from django_rpc.graph.node import Item, Node
from django_rpc.graph.values import Expr, Instance
from django_rpc.server.evaluate.sizes import Sizes
from django_rpc.server.expressions import Resolver
from django_rpc.server.policy import Policy, UnknownModel
from django_rpc.server.query import client_queryset, is_client
from django_rpc.server.results import Results
from django_rpc.wire.messages import Request

__all__ = ["Evaluator", "check_free", "is_claimed"]

CONTENT_TYPE = "contenttypes.ContentType"
_CLAIMED = "_rpc_claimed"


def is_claimed(instance: Model) -> bool:
    """Whether an instance was made from what a client said, and not from the database."""
    return _CLAIMED in instance.__dict__


def check_free(model: type[Model], names: Iterable[str]) -> None:
    """Raise ValueError for a name that an instance of ``model`` has something else under.

    A value in the place of a method of the model's own harms nobody, and Django allows it: called, it raises TypeError.
    One in the place of a property, or of what Django's ``Model`` has, would be taken for what it is not.
    """
    for name in names:
        if hasattr(model, name) and (hasattr(Model, name) or not isfunction(getattr_static(model, name))):
            raise ValueError(f"The annotation '{name}' conflicts with a field on the model.")


def _nothing_else(*args: Any, **kwargs: Any) -> None:
    raise TypeError(
        "An instance that stands for a row of another model, or without the field that is needed, was given."
    )


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
        self.resolve = Resolver(self.values, self.claimed, prepared, policy.site.expressions)

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

    def claimed(self, value: Instance) -> Model:
        """An instance that holds what the client said of it, and nothing else; runs no query."""
        if value.model == CONTENT_TYPE and value.values.keys() == {"app_label", "model"}:
            return self._content_type(**value.values)
        model = self.policy.model(value.model)
        opts = model._meta
        view = self.policy.view(model)
        for name in value.values:
            if view is None or (name not in view.by_attname and name != "pk"):
                raise FieldDoesNotExist(f"{opts.object_name} has no field named '{name}'")
        given = dict(value.values)
        if "pk" in given:
            given[opts.pk.attname] = given.pop("pk")
        if any(field.attname not in given for field in getattr(opts, "pk_fields", None) or [opts.pk]):
            raise ValueError(f"An instance of {opts.label} is known by its key, which is missing.")
        fields = [f for f in opts.concrete_fields if f.attname in given]
        using = router.db_for_write(model) if self.writes else router.db_for_read(model)
        instance = model.from_db(using, [f.attname for f in fields], [f.to_python(given[f.attname]) for f in fields])
        instance.__dict__[_CLAIMED] = True
        # Its other fields are those of a row that this client may not see: a text of the instance would tell them.
        instance.__dict__["refresh_from_db"] = _nothing_else
        return instance

    def _content_type(self, app_label: str, model: str) -> Model:
        """The content type of a model that this client may know of: its key is another one in each project."""
        named = self.policy.model(f"{app_label}.{model}")
        found: Any = apps.get_model(CONTENT_TYPE)
        return found.objects.get_for_model(named, for_concrete_model=False)

    def knows_content_type(self, model: type[Model], key: Any) -> bool:
        """Whether ``model`` is ContentType, and ``key`` that of a model that this client may know of."""
        if model._meta.label != CONTENT_TYPE or not isinstance(key, int):
            return False
        try:
            named = model._default_manager.get_for_id(key).natural_key()  # type: ignore[attr-defined]
            self.policy.model(".".join(named))
        except (model.DoesNotExist, UnknownModel):  # type: ignore[attr-defined]
            return False
        return True

    def real(self, instance: Model) -> Model:
        """The row that a claimed instance stands for; raises DoesNotExist where this client has none."""
        if not is_claimed(instance):
            return instance
        queryset = self.objects(type(instance))
        queryset.query.all_columns = True
        return queryset.get(pk=instance.pk)
