"""``RpcModel``, the base class of models with rows at a service."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from django.apps import apps
from django.db import models, router
from django.db.models import signals

from django_rpc.backend.configure import configure_databases
from django_rpc.backend.django_compat import (
    ManyToManyDescriptor,
    ModelBase,
    ReverseManyToOneDescriptor,
    expire_cache,
    has_key,
)
from django_rpc.models.cascades import cascade_from_local
from django_rpc.models.custom_fields import note_own_fields
from django_rpc.models.deleting import delete_instance
from django_rpc.models.dispatch import perform
from django_rpc.models.manager import RpcBaseManager, RpcManager, record_managers
from django_rpc.models.options import RpcOptions, chosen_database, register
from django_rpc.models.redefine import redefining
from django_rpc.models.registry import registry
from django_rpc.models.relations import RpcManyToManyDescriptor, RpcReverseDescriptor
from django_rpc.models.saving import begin_save, forced_inserts

__all__ = ["RpcModel", "RpcModelBase"]


class RpcModelBase(ModelBase):
    """Metaclass of mirrors. It reads ``class Rpc``, makes the model unmanaged, and makes its managers record nodes."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attrs: dict[str, Any], **kwargs: Any) -> Any:
        parents = [base for base in bases if isinstance(base, RpcModelBase)]
        if not parents:
            return super().__new__(mcs, name, bases, attrs, **kwargs)
        configure_databases()
        meta = attrs["Meta"] = _meta_class(attrs, bases, parents)
        abstract = meta.abstract
        if attrs.get("__module__") != "__main__" or abstract:
            model = super().__new__(mcs, name, bases, attrs, **kwargs)
        else:  # a notebook runs a cell several times
            with redefining(getattr(meta, "app_label", ""), name, "__main__") as made:
                model = super().__new__(mcs, name, bases, attrs, **kwargs)
                made.append(model)
        if abstract and "Rpc" in attrs:
            model._rpc = _options(model)
        return model

    def add_to_class(cls, name: str, value: Any) -> None:
        if isinstance(value, models.ForeignKey | models.ManyToManyField) and not cls._meta.abstract:
            _name_as_there(cls, value)
            cascade_from_local(cls, value)
        super().add_to_class(name, value)

    def __setattr__(cls, name: str, value: Any) -> None:
        """Replace the descriptors of relations by those of mirrors.

        Django also sets the descriptor of a relation on the model that the relation leads to.
        """
        if type(value) is ManyToManyDescriptor:
            value = RpcManyToManyDescriptor(value.rel, reverse=value.reverse)
        elif type(value) is ReverseManyToOneDescriptor:
            value = RpcReverseDescriptor(value.rel)
        super().__setattr__(name, value)

    def _prepare(cls) -> None:
        """Prepare the class. Django calls this when the class is complete, before other code can use it."""
        cls._rpc = _options(cls)
        register(cls)
        note_own_fields(cls)
        if [manager.name for manager in cls._meta.managers] == ["_rpc_base"]:
            if any(field.name == "objects" for field in cls._meta.fields):
                raise ValueError(f"{cls.__name__} has a field named 'objects': give it a manager of another name.")
            manager = RpcManager()
            manager.auto_created = True
            cls.add_to_class("objects", manager)
        record_managers(cls)
        super()._prepare()


def _name_as_there(model: Any, field: Any) -> None:
    """Set the name of a relation in backward lookups to the service's default name.

    The service derives it from the name of its model, which may differ from the name of the mirror.
    """
    rel = field.remote_field
    if rel.related_name or rel.related_query_name or model._meta.default_related_name or rel.symmetrical:
        return
    name = _options(model).label.rpartition(".")[2].lower()
    if name != model._meta.model_name:
        rel.related_query_name = name


def _options(model: Any) -> RpcOptions:
    inherited = next((base._rpc for base in model.__mro__[1:] if getattr(base, "_rpc", None) is not None), None)
    declared = model.__dict__.get("Rpc")
    if declared is None and inherited is not None and model._meta.proxy:
        return inherited
    return RpcOptions.from_class(declared, inherited, model._meta.app_label, model.__name__)


def _meta_class(attrs: dict[str, Any], bases: tuple[type, ...], parents: list[Any]) -> Any:
    """Return the ``Meta`` of a mirror: the declared or inherited class, unmanaged, and always with an app label."""
    declared = attrs.get("Meta")
    base = declared if declared is not None else next((b.Meta for b in bases if hasattr(b, "Meta")), object)
    values: dict[str, Any] = {
        "abstract": bool(declared is not None and getattr(declared, "abstract", False)),
        "managed": False,
    }
    if not hasattr(base, "app_label") and apps.get_containing_app_config(attrs["__module__"]) is None:
        inherited = next((p._rpc.label.partition(".")[0] for p in parents if getattr(p, "_rpc", None)), "rpc")
        values["app_label"] = getattr(attrs.get("Rpc"), "app_label", None) or inherited
    label = values.get("app_label") or getattr(base, "app_label", None)
    if label is not None and label not in apps.app_configs and not hasattr(base, "apps"):
        values["apps"] = registry
    return type("Meta", (base,), values)


class RpcModel(models.Model, metaclass=RpcModelBase):
    """Base class of mirrors.

    Declare the fields that you need of a service's model, and name the model:

    >>> class Customer(RpcModel):
    ...     name = models.CharField(max_length=100)
    ...     class Rpc:
    ...         app_label = "crm"         # at the service; default: the app label of this model
    ...         name = "Customer"         # default: the name of this class
    ...         database = "rpc"          # the alias in DATABASES; default: "rpc"
    ...         fields = None             # fields of returned instances; default: all declared fields

    Then use it as any model. The service saves and deletes rows, with its ``save()``, signals and cascades. The client
    sends the signals of the mirror.
    """

    objects: ClassVar[RpcManager]
    _rpc_base = RpcBaseManager()
    _rpc: RpcOptions | None = None

    class Meta:
        abstract = True
        base_manager_name = "_rpc_base"

    def save_base(
        self,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        """Save at the service, with one message, and set values on this instance that the service has filled."""
        using = chosen_database(type(self), using, router.db_for_write, {"instance": self})
        names = frozenset(update_fields) if update_fields is not None else None
        forced = forced_inserts(type(self), force_insert)
        operation = begin_save(self, using, names=names, raw=raw, force_insert=forced, force_update=force_update)
        sending = self._state.__dict__.pop("sending", None)
        (sending or functools.partial(perform, using))(operation)

    save_base.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete at the service with its cascades, with one message; return the same as Django's ``delete()``."""
        if not has_key(self):
            raise ValueError(
                f"{type(self).__name__} object can't be deleted because its {self._meta.pk.attname} attribute is set "
                "to None."
            )
        using = chosen_database(type(self), using, router.db_for_write, {"instance": self})
        return delete_instance(self, using, keep_parents)

    delete.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads


def _record_through_model(sender: Any, **kwargs: Any) -> None:
    """Make the managers of a mirror's automatic through model record nodes, since this model is a plain Model."""
    owner = sender._meta.auto_created
    if owner and isinstance(owner, RpcModelBase):
        record_managers(sender)
        # Django's collector of related objects uses the base manager, for example for the admin's page before a
        # deletion.
        sender.add_to_class("_rpc_base", RpcBaseManager())
        sender._meta.base_manager_name = "_rpc_base"
        expire_cache(sender._meta)


signals.class_prepared.connect(_record_through_model, dispatch_uid="django_rpc.models.base")
