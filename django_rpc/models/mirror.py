"""``django_rpc.mirror("shop.Order")``: mirrors in memory for the models that the service exposes, for notebooks."""

from __future__ import annotations

import sys
import threading
import types
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.db import connections
from django.utils.text import capfirst

from django_rpc.graph.nodes import DescribeModels, callsite
from django_rpc.graph.schema import ModelSchema, models_of
from django_rpc.models.base import RpcModel
from django_rpc.models.codegen.declaration import (
    CONTENT_TYPE,
    bases,
    composite_key,
    declared_fields,
    field_call,
    inherit_order,
    meta_options,
    plain,
)
from django_rpc.transport.fork_safety import forget_after_fork

__all__ = ["exposed_models", "mirror", "unknown_model"]

_made: dict[tuple[str, str], Any] = {}


class _Lock:
    """Lock of the thread that makes mirrors and waits for a message meanwhile. A forked child gets a new one."""

    def __init__(self) -> None:
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        self.held = threading.RLock()


_lock = _Lock()


def exposed_models(using: str = "rpc", *labels: str, timeout: float | None = None) -> dict[str, ModelSchema]:
    """Return the models that the service ``using`` exposes to this client, with one message.

    ``labels`` select models, with all models that their relations lead to; without labels, return all models.
    ``timeout`` is in seconds; None is the timeout of the service. Raise ValueError for an answer that cannot be read.
    """
    connection = connections[using]
    if connection.vendor != "rpc":
        raise ValueError(f"The database {using!r} is no service of django_rpc; its vendor is {connection.vendor!r}.")
    node = DescribeModels(service=using, models=labels, where=callsite())
    return models_of(connection.compute(node, {"timeout": timeout}))


def mirror(label: str, using: str = "rpc") -> Any:
    """Return the mirror of the service's model ``label``, with all fields that the service exposes to this client.

    The first call creates the mirror and the mirrors that its relations lead to, with one message. Raise LookupError
    for a model that the service does not expose.

    >>> Order = mirror("shop.Order")
    >>> Order.objects.filter(customer__tier="vip").order_by("pk").first()
    <Order: Order object (...)>
    """
    with _lock.held:
        model = _made.get((using, label.lower()))
        if model is None:
            described = exposed_models(using, label)
            if label.lower() not in map(str.lower, described):
                raise LookupError(unknown_model(label, using))
            _make(described, using)
            model = _made[using, label.lower()]
        return model


def unknown_model(label: str, using: str) -> str:
    """Return the error message for a name that is no model of the service, with similar names; send one message."""
    labels = sorted(exposed_models(using))
    near = get_close_matches(label, labels, 3) or [
        name for name in labels if name.split(".")[1] == label.split(".")[-1]
    ]
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It exposes {', '.join(labels) or 'none'}."
    return f"The service {using!r} exposes no model {label!r}. {hint}"


def _make(described: dict[str, ModelSchema], using: str) -> None:
    references = {label: f"{_app_label(label, using)}.{label.partition('.')[2]}" for label in described}
    references[CONTENT_TYPE] = CONTENT_TYPE
    for model in inherit_order(described):
        if (using, model.model.lower()) not in _made:
            _made[using, model.model.lower()] = _class(model, using, references)
    apps.clear_cache()


def _class(model: ModelSchema, using: str, references: dict[str, str]) -> Any:
    service_app, _, name = model.model.partition(".")
    label = _app_label(model.model, using)
    module = _module(label, service_app)
    meta = {key: plain(value) for key, value in meta_options(model).items()}
    attrs: dict[str, Any] = {
        "__module__": module.__name__,
        "__qualname__": name,
        "__doc__": f"{model.model} of the service {using!r}.",
        "Rpc": type("Rpc", (), {"app_label": service_app, "name": name, "database": using}),
        "Meta": type("Meta", (), {**meta, "app_label": label}),
    }
    for field in declared_fields(model):
        field_name, call = field_call(model, field, references)
        attrs[field_name] = call.make()
    attrs.update({name: call.make() for name, call in composite_key(model).items()})
    above = tuple(_made[using, parent.lower()] for parent in bases(model)) or (RpcModel,)
    metaclass: Any = type(RpcModel)
    made = metaclass(name, above, attrs)
    setattr(module, name, made)
    return made


def _app_label(label: str, using: str) -> str:
    """Return the app label of the mirrors of one app of one service, which differs from the labels of local apps."""
    return f"{using}_{label.partition('.')[0]}"


def _module(label: str, service_app: str) -> types.ModuleType:
    """Return the module of the classes, which pickle needs, and add the app where Django finds them."""
    name = f"django_rpc.mirrors.{label}"
    module = sys.modules.get(name)
    if module is None:
        module = sys.modules[name] = types.ModuleType(name, "Mirrors made by django_rpc.mirror().")
    if label not in apps.app_configs:
        # Without an app, Django does not find the relations that lead to a model.
        attributes = {"label": label, "path": str(Path(__file__).parent), "verbose_name": capfirst(service_app)}
        config = type("MirrorsConfig", (AppConfig,), attributes)(name, module)
        config.apps = apps
        config.models = apps.all_models[label]
        config.models_module = module
        apps.app_configs[label] = config
        apps.clear_cache()
    return module
