"""Content types of two projects. Each project has a separate table of content types, with different keys.

A mirror's foreign key to ``ContentType`` holds, at the service, the service's key of the service's model. Here it holds
this project's key of the mirror. The client sends the name of the model (app label and model), and the service finds
its content type for it. For received keys, the client requests once the keys of all exposed models. The service need
not expose ``ContentType`` itself.
"""

from __future__ import annotations

import functools
from typing import Any

from django.apps import apps
from django.db.models.signals import post_migrate

from django_rpc.graph.values import Reference
from django_rpc.models.options import mirror_for, options_of

__all__ = ["LABEL", "is_content_type", "local_key", "sent_key"]

LABEL = "contenttypes.ContentType"


@functools.lru_cache(maxsize=1024)
def is_content_type(field: Any) -> bool:
    """Return True if the values of ``field`` are keys of content types: a foreign key to them, or their primary key."""
    if field.is_relation:
        target = getattr(field.remote_field, "model", None)
        return bool(getattr(getattr(target, "_meta", None), "label", None) == LABEL and field.concrete)
    return bool(field.primary_key and field.model._meta.label == LABEL)


def sent_key(value: Any) -> Any:
    """Return the value to send for a content type or its key: the name of a mirror's model; other values unchanged."""
    content_type = apps.get_model(LABEL)
    if isinstance(value, int):
        try:
            value = content_type.objects.get_for_id(value)
        except content_type.DoesNotExist:
            return value
    elif not isinstance(value, content_type):
        return value
    model = value.model_class()
    options = options_of(model) if model is not None else None
    if options is None:
        return value.pk
    app_label, name = options.label.split(".")[:2]
    return Reference(LABEL, f"{app_label}.{name.lower()}")


def local_key(value: Any, alias: str) -> Any:
    """Return this project's key for the service's key ``value``; ``value`` itself where no mirror belongs to it."""
    if value is None:
        return None
    labels = _known.setdefault(alias, {})
    if value not in labels:
        if len(labels) >= _MAX_KNOWN:
            labels.clear()
        labels |= {value: "", **_labels(alias)}
    model = mirror_for(alias, labels[value])
    if model is None:
        return value
    return apps.get_model(LABEL).objects.get_for_model(model).pk


#: Alias -> ``app.model`` by the service's keys. The text is empty for the key of a model that is not exposed.
_known: dict[str, dict[Any, str]] = {}
#: Limit of remembered keys of one service. A service that sends more keys than it has content types cannot fill memory.
_MAX_KNOWN = 10_000


def _labels(alias: str) -> dict[Any, str]:
    """Return ``app.model`` by the service's keys, for the models that the service exposes to this client."""
    from django_rpc.models.mirror import exposed_models  # a module that imports the models, which import this module

    return {model.content_type: label for label, model in exposed_models(alias).items() if model.content_type}


def _forget(**kwargs: Any) -> None:
    """Forget all keys: after a migration or a flush, a service in this process may use different keys."""
    _known.clear()


post_migrate.connect(_forget, dispatch_uid="django_rpc.models.content_types")
