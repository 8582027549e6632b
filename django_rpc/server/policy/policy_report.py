"""Permissions of each client, for ``manage.py rpc_policy``."""

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
    """Permissions of a client for a model; ``rows`` is ``all``, ``some``, or the error of ``get_queryset()``."""

    model: str
    operations: tuple[str, ...]
    fields: tuple[str, ...]
    filterable: tuple[str, ...]
    writable: tuple[str, ...]
    methods: tuple[str, ...]
    rows: str


def policy_of(site: RpcSite, client: Client) -> Policy:
    """Return the policy of a request of ``client``."""
    return Policy(site, RpcRequest(client=client.name, user=user_of(client), may_ship=client.may_ship))


def models_of(policy: Policy) -> list[ModelRow]:
    """Return the models that exist for the client, in the order of their labels."""
    rows = [_row(policy, model) for model in sorted(policy.site, key=lambda model: model._meta.label)]
    return [row for row in rows if row is not None]


def functions_of(policy: Policy) -> list[str]:
    """Return the names of the functions that the client may call."""
    functions = policy.site.functions.values()
    return sorted(function.name for function in functions if function.is_open_to(policy.request))


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
    ordered = dict.fromkeys((*(name for name in names if name in every), *every))
    filterable = tuple(name for name in ordered if view is not None and name in view.filterable)
    sets = {"create", "update"} & set(operations)
    writable = tuple(name for name in ordered if sets and name in exposure.writable)
    return ModelRow(opts.label, operations, tuple(names), filterable, writable, methods, _rows(policy, model))


def _rows(policy: Policy, model: type) -> str:
    try:
        return "all" if policy.rows(model) is None else "some"
    except Exception as error:  # noqa: BLE001 - get_queryset() of the project, without a request of a real client
        return f"{type(error).__name__}: {error}"
