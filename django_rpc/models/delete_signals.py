"""The signals ``pre_delete`` and ``post_delete`` of mirrors, for receivers of the client.

The service deletes the rows, with its cascades. If receivers listen for rows that the cascades delete, Django's
collector loads these rows first, as for a local model.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from django.db.models import signals

from django_rpc.backend.django_compat import Collector
from django_rpc.client.unit_of_work import unit_of
from django_rpc.models.conflicts import dependents
from django_rpc.models.options import options_of

__all__ = ["DeleteSignals"]

_SIGNALS = (signals.pre_delete, signals.post_delete)


def has_receivers(model: Any) -> bool:
    """Return True if a receiver listens for deletions of ``model``; False for an automatic through model."""
    return not model._meta.auto_created and any(signal.has_listeners(model) for signal in _SIGNALS)


class DeleteSignals:
    """Instances with receivers for their deletion: ``before()`` and ``after()`` send the signals, in Django's order.

    ``rows`` returns the deleted instances, and is only called if receivers listen. In a block that collects, the rows
    that cascades delete are not loaded, since they may not be at the service yet.
    """

    def __init__(self, model: Any, rows: Any, using: str, origin: Any, keep_parents: bool = False) -> None:
        self.sent = {"using": using, "origin": origin}
        self.groups: list[tuple[Any, list[Any]]] = []
        with_others = unit_of(using) is None and any(map(has_receivers, dependents({model._meta.concrete_model})))
        if not with_others and not has_receivers(model):
            return
        instances = list(rows())
        self.groups = [(model, instances)]
        if with_others and instances:
            collector = Collector(using=using, origin=origin)
            collector.collect(instances, keep_parents=keep_parents)
            collector.sort()
            # `cascades` deletes local rows, and sends their signals.
            self.groups = [(model, rows) for model, rows in collector.data.items() if options_of(model) is not None]
        self.groups = [(model, sorted(rows, key=attrgetter("pk"))) for model, rows in self.groups]

    def before(self) -> None:
        for model, instances in self.groups:
            self._send(signals.pre_delete, model, instances)

    def after(self) -> None:
        for model, instances in self.groups:
            self._send(signals.post_delete, model, reversed(instances))
        for model, instances in self.groups:
            for instance in instances:
                setattr(instance, model._meta.pk.attname, None)

    def _send(self, signal: Any, model: Any, instances: Iterable[Any]) -> None:
        if not model._meta.auto_created:
            for instance in instances:
                signal.send(sender=model, instance=instance, **self.sent)
