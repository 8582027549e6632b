"""Relations of an instance to many rows (``instance.orders``), and the methods of their managers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db import router
from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Method, Node
from django_rpc.server.django_compat import clone, related_rows, set_known_parents
from django_rpc.server.evaluate import assignment, writes
from django_rpc.server.evaluate import generic_foreign_keys as generic
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.policy.references import instances_in, is_instance
from django_rpc.server.query.loaded_relations import loaded_with, remember_parent

__all__ = ["RELATION_METHODS", "Relation", "is_all", "know_parent", "knowing_parents", "no_related_row"]


class Relation:
    """The rows of ``field.related_model`` that are related to ``instance`` under ``name``."""

    __slots__ = ("field", "instance", "name")

    def __init__(self, instance: Model, name: str, field: Any) -> None:
        self.instance = instance
        self.name = name
        self.field = field

    @property
    def model(self) -> type[Model]:
        return self.field.related_model

    @property
    def manager(self) -> Any:
        """Django's manager of the relation, for the service's writes."""
        return getattr(self.instance, self.name)

    @property
    def is_many_to_many(self) -> bool:
        return bool(self.field.many_to_many)

    @property
    def is_generic(self) -> bool:
        return bool(self.field.one_to_many and not self.field.auto_created)

    @property
    def declared(self) -> Any:
        """The field that declares the relation, on either side."""
        return self.field.remote_field if self.field.auto_created and not self.field.concrete else self.field

    def queryset(self, ev: Evaluator) -> QuerySet:
        """Return the related rows that the client may see, as a query that the client may refine."""
        rows = ev.default_objects(self.model) if self.prefetched is None else self.prefetched
        return related_rows(self.manager, rows)

    @property
    def prefetched(self) -> QuerySet | None:
        """The client's query by which the relation was prefetched, which Django's manager refines, too."""
        return loaded_with(self.instance).queries.get(self.name)

    def require(self, ev: Evaluator, *, makes_rows: bool) -> None:
        """Raise PermissionDenied unless the client may change the related rows.

        ``makes_rows`` is True if the change may add related rows, which sets both foreign keys of a through model.
        """
        field = self.declared
        owner = ev.policy.require(field.model if not self.is_generic else self.model, "update")
        names = [field.content_type_field_name, field.object_id_field_name] if self.is_generic else [field.name]
        for name in names:
            if name not in owner.writable:
                raise assignment.read_only(owner, name)
        if self.through is not None:
            rows = ev.policy.require(self.through, "create")
            ev.policy.require(self.through, "delete")
            manager = self.manager
            for name in (manager.source_field_name, manager.target_field_name) if makes_rows else ():
                if name not in rows.writable:
                    raise assignment.read_only(rows, name)

    @property
    def through(self) -> type[Model] | None:
        """The model of the project for the rows of the relation's table; None for an automatic table."""
        through = self.declared.remote_field.through if self.is_many_to_many else None
        return None if through is None or through._meta.auto_created else through

    def is_scoped(self, ev: Evaluator) -> bool:
        """Return whether there may be related rows that the client does not see."""
        return any(model is not None and ev.policy.rows(model) is not None for model in (self.model, self.through))

    @contextlib.contextmanager
    def changing(self, ev: Evaluator, names: Iterable[str] = ()) -> Iterator[None]:
        """Check the rows of the project's own through model that the block makes and deletes.

        ``names`` are the fields that the client sets in new rows. Raises PermissionDenied for a row out of the scope
        of the client, which rolls all back.
        """
        through = self.through
        scope = None if through is None else ev.policy.rows(through)
        if through is None or (scope is None and not generic.written(through, names)):
            yield
            return
        own = {self.manager.source_field.name: self.instance}
        rows = through._base_manager.using(router.db_for_write(through)).filter(**own).order_by().values_list("pk")
        before = set(rows)
        seen = before if scope is None else set(scope.filter(**own).order_by().values_list("pk"))
        yield
        after = set(rows.all())
        if before - after - seen:
            raise PermissionDenied(f"This client may not delete a {through._meta.label} that it could not read.")
        made = [key for (key,) in after - before]
        assignment.confirm(ev, through, made, names)


def knowing_parents(queryset: QuerySet, relations: Iterable[Relation]) -> QuerySet:
    """Return ``queryset`` with rows that know the instances of ``relations``, as the rows of one manager do.

    The relations are of one field. Only the rows of a foreign key know their parent.
    """
    queryset = clone(queryset)
    parents_by_field: dict[Any, dict[Any, Model]] = {}
    for relation in relations:
        if relation.field.one_to_many and not relation.is_generic:
            foreign = relation.field.remote_field
            key = getattr(relation.instance, foreign.target_field.attname)
            parents_by_field.setdefault(foreign, {})[key] = relation.instance
    set_known_parents(queryset, parents_by_field)
    return queryset


def know_parent(related: Model, field: Any, instance: Model) -> Model:
    """Return ``related``, the row of the relation ``field`` of ``instance``, which a one-to-one relation knows."""
    return remember_parent(related, field.remote_field, instance) if field.one_to_one else related


def no_related_row(instance: Model, field: Any) -> Exception:
    """Return Django's error for an instance without a row of a one-to-one relation that another model declares."""
    name = field.get_accessor_name()
    error: Exception = getattr(field.model, name).RelatedObjectDoesNotExist(f"{type(instance).__name__} has no {name}.")
    return error


def is_all(step: Node) -> bool:
    """Return True if ``step`` is all() on a relation; a manager's all() is the same query and no separate step."""
    return isinstance(step, Method) and step.name == "all" and not step.args and not step.kwargs


def _targets(ev: Evaluator, relation: Relation, values: Iterable[Any]) -> list[Any]:
    """Return the rows to relate; for a many-to-many relation, the values for the columns of its table.

    Each row must be visible to the client.
    """
    targets = list(values)
    for value in instances_in(targets):
        if not issubclass(ev.references.model(value), relation.model._meta.concrete_model):
            raise TypeError(
                f"'{relation.model._meta.object_name}' instance expected, got an instance of "
                f"'{ev.references.model(value)._meta.object_name}'."
            )
    if relation.is_many_to_many:
        targets = _through_values(ev, relation, targets)
    else:
        targets = ev.references.rows(targets)
    rows = ev.policy.rows(relation.model)
    if rows is not None:
        key = _key_field(relation)
        keys = [_key(key, value) for value in targets]
        seen = set(rows.filter(**{f"{key.attname}__in": keys}).values_list(key.attname, flat=True))
        if any(key not in seen for key in keys):
            raise _missing(relation)
    return targets


def _missing(relation: Relation) -> Exception:
    return relation.model.DoesNotExist(f"{relation.model._meta.object_name} matching query does not exist.")


def _through_values(ev: Evaluator, relation: Relation, values: list[Any]) -> list[Any]:
    """Return the values for the table of a many-to-many relation; ``values`` are such values, or instances."""
    instances = [value for value in values if is_instance(value)]
    keys = ev.references.targets(instances, _key_field(relation))
    if len(keys) < len(instances):
        raise _missing(relation)
    return [*[value for value in values if not is_instance(value)], *keys]


def _key_field(relation: Relation) -> Any:
    """Return the field of the related model that the relation refers to."""
    if relation.is_many_to_many:
        return relation.manager.target_field.foreign_related_fields[0]
    return relation.model._meta.pk


def _key(field: Any, value: Any) -> Any:
    return getattr(value, field.attname) if isinstance(value, Model) else field.to_python(value)


def _check_options(ev: Evaluator, relation: Relation, options: dict[str, Any]) -> None:
    """Raise TypeError for an option that these methods do not have; check the values for a through table."""
    for name in options:
        if name not in ("objs", "bulk", "clear", "through_defaults"):
            raise TypeError(f"'{relation.name}' takes no keyword '{name}' here.")
    defaults = options.get("through_defaults")
    if defaults:
        through = relation.declared.remote_field.through
        owner = ev.policy.require(through, "create")
        assignment.check_writable(owner, defaults, FieldDoesNotExist)
        options["through_defaults"] = writes.prepare(ev, through, defaults)


def _related(ev: Evaluator, relation: Relation, targets: list[Any]) -> list[Any]:
    """Return those of ``targets`` that the client sees among the related rows."""
    field = _key_field(relation)
    keys = [_key(field, value) for value in targets]
    rows = relation.queryset(ev).filter(**{f"{field.attname}__in": keys}).order_by()
    seen = {_key(field, row) for row in ev.complete(rows)}
    return [value for key, value in zip(keys, targets, strict=True) if key in seen]


def _replace(ev: Evaluator, relation: Relation, targets: list[Any], options: dict[str, Any]) -> None:
    """Apply ``set(targets)`` to the rows that the client sees; hidden rows stay related."""
    field = _key_field(relation)
    target_keys = {_key(field, value) for value in targets}
    related = {_key(field, row): row for row in ev.complete(relation.queryset(ev)).order_by()}
    everything = options.pop("clear", False)
    removed = [row for key, row in related.items() if everything or key not in target_keys]
    manager = relation.manager
    if removed and hasattr(manager, "remove"):
        manager.remove(*removed, **{k: v for k, v in options.items() if k == "bulk"})
    related_keys = set() if everything else related.keys()
    manager.add(*[value for value in targets if _key(field, value) not in related_keys], **options)


def _changing(name: str) -> Callable[..., Any]:
    def method(ev: Evaluator, relation: Relation, args: list[Any], kwargs: dict[str, Any]) -> None:
        relation.require(ev, makes_rows=name in ("add", "set"))
        _check_options(ev, relation, kwargs)
        manager = relation.manager
        if not hasattr(manager, name):
            # Django has no remove() if the foreign key cannot be null.
            raise AttributeError(f"'{relation.name}' has no method '{name}'")
        if name == "set":
            objs = args[0] if args else kwargs.pop("objs")
            if isinstance(objs, QuerySet):
                objs = ev.as_client(objs)
            args = [list(objs)]
        targets = _targets(ev, relation, args[0] if name == "set" else args)
        with relation.changing(ev, kwargs.get("through_defaults") or ()):
            if name in ("set", "clear") and relation.is_scoped(ev):
                _replace(ev, relation, targets, kwargs)
            elif name == "remove" and relation.is_scoped(ev):
                manager.remove(*_related(ev, relation, targets), **kwargs)
            else:
                getattr(manager, name)(*([targets] if name == "set" else targets), **kwargs)
        if not relation.is_many_to_many:  # the rows themselves have changed
            assignment.confirm(ev, relation.model, [t.pk if isinstance(t, Model) else t for t in targets])

    return method


def _creating(name: str) -> Callable[..., Any]:
    """Return a method for ``create`` or a similar method that also relates the new row."""

    def method(ev: Evaluator, relation: Relation, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if relation.is_many_to_many or relation.is_generic:
            relation.require(ev, makes_rows=True)
        else:
            owner = ev.policy.require(relation.model, "create")
            assignment.check_writable(owner, [relation.declared.name], FieldDoesNotExist)
        options = {"through_defaults": kwargs.pop("through_defaults")} if "through_defaults" in kwargs else {}
        _check_options(ev, relation, options)
        with relation.changing(ev, options.get("through_defaults") or ()):
            created = _created(ev, relation, name, args, kwargs, options)
        if not relation.is_many_to_many and not relation.is_generic:
            row = created[0] if isinstance(created, tuple) else created
            pairs = relation.declared.related_fields
            if all(getattr(row, key.attname) == getattr(relation.instance, to.attname) for key, to in pairs):
                remember_parent(row, relation.declared, relation.instance)
        return created

    return method


def _created(
    ev: Evaluator, relation: Relation, name: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    if name == "create":
        return writes.through_manager(ev, relation.queryset(ev), relation.manager, name, args, kwargs, options)
    if relation.is_generic:
        raise AttributeError(f"'{relation.name}' has no method '{name}'; use get() and create().")
    queryset = relation.queryset(ev)
    if relation.is_many_to_many:
        instance, created = writes.through_manager(ev, queryset, None, name, args, kwargs)
        if created:
            relation.manager.add(instance, **options)
        return instance, created
    kwargs[relation.declared.name] = relation.instance
    return writes.through_manager(ev, queryset, None, name, args, kwargs)


RELATION_METHODS: dict[str, Callable[[Evaluator, Relation, list[Any], dict[str, Any]], Any]] = {
    **{name: _changing(name) for name in ("add", "remove", "set", "clear")},
    **{name: _creating(name) for name in ("create", "get_or_create", "update_or_create")},
}
