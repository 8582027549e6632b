"""Who hears of deleted rows: this client's receivers of ``pre_delete`` and ``post_delete``.

The service deletes, with its cascades.  Where a receiver listens for rows that go with the deleted ones, Django's own
collector finds them first, as it does for a local model.
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

__all__ = ["Heard"]

_SIGNALS = (signals.pre_delete, signals.post_delete)


def is_heard(model: Any) -> bool:
    """Whether a receiver listens for the deletion of rows of ``model``; nobody hears of an automatic through model."""
    return not model._meta.auto_created and any(signal.has_listeners(model) for signal in _SIGNALS)


class Heard:
    """The instances whose deletion is told: ``before()`` and ``after()`` send the signals, in Django's order.

    ``rows`` gives the instances that are deleted, and is called where somebody listens.  In a block that collects,
    rows that go with them are not looked for: they may not be at the service yet.
    """

    def __init__(self, model: Any, rows: Any, using: str, origin: Any, keep_parents: bool = False) -> None:
        self.sent = {"using": using, "origin": origin}
        self.groups: list[tuple[Any, list[Any]]] = []
        with_others = unit_of(using) is None and any(map(is_heard, dependents({model._meta.concrete_model})))
        if not with_others and not is_heard(model):
            return
        instances = list(rows())
        self.groups = [(model, instances)]
        if with_others and instances:
            collector = Collector(using=using, origin=origin)
            collector.collect(instances, keep_parents=keep_parents)
            collector.sort()
            # Of local rows that go too (`cascades`), those hear who delete them.
            self.groups = [(one, found) for one, found in collector.data.items() if options_of(one) is not None]
        self.groups = [(one, sorted(found, key=attrgetter("pk"))) for one, found in self.groups]

    def before(self) -> None:
        for model, instances in self.groups:
            self._tell(signals.pre_delete, model, instances)

    def after(self) -> None:
        for model, instances in self.groups:
            self._tell(signals.post_delete, model, reversed(instances))
        for model, instances in self.groups:
            for instance in instances:
                setattr(instance, model._meta.pk.attname, None)

    def _tell(self, signal: Any, model: Any, instances: Iterable[Any]) -> None:
        if not model._meta.auto_created:
            for instance in instances:
                signal.send(sender=model, instance=instance, **self.sent)
