"""Managers of a mirror's relations to many rows. Each change is one message and one transaction at the service.

Django's related manager changes the rows of the through table in several queries. Here the service runs its ``add``,
``remove``, ``set`` and ``clear``, and sends its ``m2m_changed``. The client sends ``m2m_changed`` of the mirror.
"""

from __future__ import annotations

import functools
from collections.abc import Set as AbstractSet
from typing import Any

from django.db import router
from django.db.models.signals import m2m_changed
from django.utils.functional import cached_property

from django_rpc.backend.django_compat import ManyToManyDescriptor, ReverseManyToOneDescriptor, resolve_callables
from django_rpc.client.deferred import Pending
from django_rpc.client.unit_of_work import Operation
from django_rpc.graph.nodes import Attr, Method, ModelSource, callsite
from django_rpc.graph.values import ATOMS, freeze
from django_rpc.models.atomic import together
from django_rpc.models.dispatch import perform
from django_rpc.models.options import chosen_database, mirror_options, options_of

__all__ = ["RpcManyToManyDescriptor", "RpcReverseDescriptor", "recorded_relation"]


class RpcReverseDescriptor(ReverseManyToOneDescriptor):
    """Attribute of a mirror that returns the manager of the rows with foreign keys to it."""

    @cached_property
    def related_manager_cls(self) -> Any:
        base = super().related_manager_cls
        return base if options_of(self.rel.related_model) is None else _in_one_message(base)


def _in_one_message(base: Any) -> Any:
    """Return the manager class ``base`` of a reverse foreign key, with each change as one message and transaction.

    Django's manager saves row by row (``bulk=False``), and reads, removes and adds rows separately (``set()``).
    """

    class RpcRelatedManager(base):
        if hasattr(base, "remove"):  # absent where the rows must have a parent

            @functools.wraps(base.set)
            def set(self, objs: Any, *, bulk: bool = True, clear: bool = False) -> None:
                if clear or not bulk:
                    super().set(objs, bulk=bulk, clear=clear)
                    return
                # Django reads the present rows first, which needs a message, and is not possible for rows of a block.
                objs = tuple(objs)
                self.add(*objs)
                self.exclude(pk__in=[obj.pk for obj in objs]).update(**{self.field.name: None})

    def together_at(name: str) -> Any:
        change = getattr(RpcRelatedManager, name)

        @functools.wraps(change)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            alias = chosen_database(self.model, None, router.db_for_write, {"instance": self.instance})
            with together(alias, {}):
                return change(self, *args, **kwargs)

        method.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads
        return method

    for name in ("add", "remove", "clear", "set"):
        if hasattr(base, name):
            setattr(RpcRelatedManager, name, together_at(name))
    RpcRelatedManager.__name__ = base.__name__
    RpcRelatedManager.__qualname__ = base.__qualname__
    return RpcRelatedManager


class RpcManyToManyDescriptor(ManyToManyDescriptor):
    """Attribute of a mirror that returns its many-to-many manager."""

    @cached_property
    def related_manager_cls(self) -> Any:
        base = super().related_manager_cls
        name = self.rel.get_accessor_name() if self.reverse else self.rel.field.name
        if self.reverse and (not self.rel.related_name or self.rel.hidden):
            return base  # the accessor's name is from the mirror's class, and the service may have another name
        return recorded_relation(base, name)


def recorded_relation(base: Any, accessor: str) -> Any:
    """Return the many-to-many manager class ``base``, with the four changes made by ``accessor`` of the service."""

    class RpcManyRelatedManager(base):
        @functools.wraps(base.add)
        def add(self, *objs: Any, through_defaults: Any = None) -> None:
            targets = self._targets(objs)
            if targets and m2m_changed.has_listeners(self.through):  # which receive only the new keys
                names = self.source_field_name, self.target_field_name
                targets = self._get_missing_target_ids(*names, self._alias, targets)
                self._change("add", "add", targets, through_defaults=through_defaults)
            elif targets:
                self._change("add", "add", targets, through_defaults=through_defaults)

        @functools.wraps(base.remove)
        def remove(self, *objs: Any) -> None:
            if objs:
                self._change("remove", "remove", _target_values(self, objs))

        @functools.wraps(base.clear)
        def clear(self) -> None:
            self._change("clear", "clear", None)

        @functools.wraps(base.set)
        def set(self, objs: Any, *, clear: bool = False, through_defaults: Any = None) -> None:
            objs = tuple(objs)
            if m2m_changed.has_listeners(self.through):  # which receive the removed and the added keys
                base.set(self, objs, clear=clear, through_defaults=through_defaults)
                return
            self._change("set", "add", self._targets(objs), through_defaults=through_defaults, clear=clear)

        methods: tuple[Any, ...] = (add, remove, clear, set)
        for _method in methods:
            _method.alters_data = True
        del methods, _method

        def _targets(self, objs: tuple[Any, ...]) -> AbstractSet[Any]:
            """Return the keys of ``objs``; Django checks all objects that are not plain keys."""
            keys = {self.target_field.get_prep_value(obj) for obj in objs if type(obj) in ATOMS}
            return keys | self._get_target_ids(self.target_field_name, [obj for obj in objs if type(obj) not in ATOMS])

        @property
        def _alias(self) -> str:
            return chosen_database(self.through, None, router.db_for_write, {"instance": self.instance})

        def _change(self, method: str, action: str, targets: Any, **options: Any) -> None:
            self._remove_prefetched_objects()
            if options.get("through_defaults"):
                options["through_defaults"] = dict(resolve_callables(options["through_defaults"]))
            options = {key: freeze(value) for key, value in options.items() if value}
            alias = self._alias
            sent = {
                "sender": self.through,
                "instance": self.instance,
                "reverse": self.reverse,
                "model": self.model,
                "pk_set": targets,
                "using": alias,
            }
            m2m_changed.send(action=f"pre_{action}", **sent)
            relation = Attr(_row_of(self.instance, alias), accessor)
            args: tuple[Any, ...] = () if targets is None else tuple(freeze(item) for item in sorted(targets, key=repr))
            if method == "set":
                args = (list(args),)
            node = Method(relation, method, args, options, where=callsite())

            def tell(answer: Any) -> None:
                pk_set = targets and {key.result() if isinstance(key, Pending) else key for key in targets}
                m2m_changed.send(action=f"post_{action}", **{**sent, "pk_set": pk_set})

            perform(alias, Operation(node, after=tell))

    RpcManyRelatedManager.__name__ = base.__name__
    RpcManyRelatedManager.__qualname__ = base.__qualname__
    return RpcManyRelatedManager


def _row_of(instance: Any, alias: str) -> Method:
    options = mirror_options(type(instance))
    return Method(
        ModelSource(options.label, alias, base=True), "get", (), {"pk": freeze(instance.pk)}, where=callsite()
    )


def _target_values(manager: Any, objs: tuple[Any, ...]) -> set[Any]:
    """Return the values of the through table's column for ``objs``, which are instances or keys."""
    return {
        manager.target_field.get_foreign_related_value(obj)[0] if isinstance(obj, manager.model) else obj
        for obj in objs
    }
