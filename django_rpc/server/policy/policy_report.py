"""Who may do what, for people: what ``manage.py rpc_policy`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_rpc.server.core.clients import Client
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.policy.client_policy import Policy
from django_rpc.server.policy.users import user_of
from django_rpc.server.registry.site import RpcSite

__all__ = ["ModelRow", "functions_of", "models_of", "policy_of"]

_ORDER = ("read", "create", "update", "delete")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What one client may do with one model; ``rows`` is ``all``, ``some``, or why it cannot be said."""

    model: str
    operations: tuple[str, ...]
    fields: tuple[str, ...]
    filterable: tuple[str, ...]
    writable: tuple[str, ...]
    methods: tuple[str, ...]
    rows: str


def policy_of(site: RpcSite, client: Client) -> Policy:
    """The policy of a request that ``client`` would make now."""
    return Policy(site, RpcRequest(client=client.name, user=user_of(client), may_ship=client.may_ship))


def models_of(policy: Policy) -> list[ModelRow]:
    """The models that exist for the client, by their labels."""
    found = [_row(policy, model) for model in sorted(policy.site, key=lambda model: model._meta.label)]
    return [row for row in found if row is not None]


def functions_of(policy: Policy) -> list[str]:
    """The names of the functions that the client may call."""
    return sorted(one.name for one in policy.site.functions.values() if one.is_open_to(policy.request))


def _row(policy: Policy, model: Any) -> ModelRow | None:
    exposure = policy.exposure(model)
    if exposure is None:
        return None
    operations = tuple(name for name in _ORDER if policy.can(model, name))
    methods = tuple(name for name in sorted(exposure.methods) if policy.can(model, name))
    if not operations and not methods:
        return None
    view = policy.view(model)
    opts = model._meta
    every = [field.name for field in (*opts.fields, *opts.many_to_many, *opts.private_fields)]
    names = () if view is None else (*(field.name for field in view.fields), *view.computed)
    known = dict.fromkeys((*(name for name in names if name in every), *every))
    filterable = tuple(name for name in known if view is not None and name in view.filterable)
    sets = {"create", "update"} & set(operations)
    writable = tuple(name for name in known if sets and name in exposure.writable)
    return ModelRow(opts.label, operations, tuple(names), filterable, writable, methods, _rows(policy, model))


def _rows(policy: Policy, model: type) -> str:
    try:
        return "all" if policy.rows(model) is None else "some"
    except Exception as error:  # noqa: BLE001 - the project's own get_queryset, without a request of a real client
        return f"{type(error).__name__}: {error}"
