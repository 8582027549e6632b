"""Description of the models that this service exposes to one client, for `graph.schema`.

It is the value of a `DescribeModels` node.

The description has only names that a query of this client can use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import CheckConstraint, Model, Q, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import F, OrderBy
from django.utils.text import camel_case_to_spaces

from django_rpc.errors import UnknownModel
from django_rpc.graph.schema import CheckSchema, ConstraintSchema, FieldSchema, ModelSchema, as_data
from django_rpc.graph.values import ATOMS
from django_rpc.server.django_compat import check_condition
from django_rpc.server.policy.client_policy import Policy, Use
from django_rpc.server.registry.field_schema import computed_schema, field_schema, is_described
from django_rpc.server.registry.model_rpc import OPERATIONS

__all__ = ["describe_models"]


def describe_models(policy: Policy, labels: Iterable[str]) -> dict[str, Any]:
    """Describe the models with these labels, and the models that they lead to, as far as the client may see them.

    Without labels, describe all models.
    """
    labels = tuple(labels)
    pending: list[type[Model] | None] = [_found(policy, label) for label in labels]
    if not labels:
        pending += [model for model in apps.get_models() if _is_reached(policy, model)]
    described: dict[type[Model], ModelSchema] = {}
    while pending:
        model = pending.pop(0)
        if model is not None and model not in described:
            described[model] = _ModelDescriber(policy, model).describe()
            pending += [_found(policy, label) for label in _leads_to(described[model])]
    ordered = sorted(described, key=lambda model: model._meta.label.lower())
    numbers = _content_types(ordered)
    return as_data([_with_number(described[model], numbers.get(model)) for model in ordered])


def _found(policy: Policy, label: str) -> type[Model] | None:
    try:
        return policy.model(label)
    except UnknownModel:
        return None


def _is_reached(policy: Policy, model: type[Model]) -> bool:
    return policy.site.exposure(model) is not None and _found(policy, model._meta.label) is not None


def _leads_to(described: ModelSchema) -> list[str]:
    labels = [*described.parents, described.proxy_of]
    labels += [label for field in described.fields for label in (field.to, field.through)]
    return [label for label in labels if label]


def _with_number(described: ModelSchema, number: int | None) -> ModelSchema:
    return described if number is None else msgspec.structs.replace(described, content_type=number)


def _content_types(models: list[type[Model]]) -> dict[type[Model], int]:
    """Return the keys of the models' rows in ContentType, which generic relations hold; no missing row is made."""
    if not models or not apps.is_installed("django.contrib.contenttypes"):
        return {}
    from django.contrib.contenttypes.models import ContentType

    # Only generic relations of a client need the keys. A service without such relations saves the query.
    if not any(field.remote_field and field.related_model is ContentType for m in models for field in m._meta.fields):
        return {}
    rows = ContentType.objects.values_list("app_label", "model", "pk")
    numbers = {(app_label, name): pk for app_label, name, pk in rows}
    keys = {model: (model._meta.app_label, model._meta.model_name) for model in models}
    return {model: numbers[key] for model, key in keys.items() if key in numbers}


class _ModelDescriber:
    """Describes one model for one client."""

    def __init__(self, policy: Policy, model: type[Model]) -> None:
        self.policy = policy
        self.model = model
        self.opts = model._meta
        self.exposure = policy.exposed(model)
        self.proxied = self._proxied()
        self.parents = [] if self.proxied is not None else self._parents()

    def describe(self) -> ModelSchema:
        opts = self.opts
        names = opts.verbose_name_raw, str(opts.verbose_name_plural)
        usual = str(opts.verbose_name) + "s"
        latest = [opts.get_latest_by] if isinstance(opts.get_latest_by, str) else opts.get_latest_by
        return ModelSchema(
            model=opts.label,
            verbose_name=None if names[0] == _usual_name(opts.object_name) else str(names[0]),
            verbose_name_plural=None if names[1] == usual else names[1],
            fields=self._fields(),
            computed=[] if not self._reads() else [computed_schema(self.exposure, n) for n in self.exposure.computed],
            operations=sorted(name for name in OPERATIONS if self.policy.can(self.model, name)),
            methods=sorted(name for name in self.exposure.methods if self.policy.can(self.model, name)),
            ordering=self._ordering(opts.ordering),
            get_latest_by=self._ordering(latest or ()),
            unique_together=[list(names) for names in opts.unique_together if self._sees_all(names)],
            constraints=self._constraints(),
            checks=self._checks(),
            parents=[parent._meta.label for parent in self.parents],
            proxy_of=None if self.proxied is None else self.proxied._meta.label,
            composite_key=self._composite_key(),
        )

    def _reads(self) -> bool:
        return self.policy.view(self.model) is not None

    # Inheritance

    def _proxied(self) -> type[Model] | None:
        """Return the concrete model of a proxy, if the client sees its fields in the proxy, too; otherwise None."""
        if not self.opts.proxy:
            return None
        concrete = self.opts.concrete_model
        view = self.policy.view(concrete)
        return concrete if view is not None and self._covers(concrete) and self.exposure.names <= view.names else None

    def _parents(self) -> list[type[Model]]:
        """Return the nearest parent models with fields that the client also sees in this model."""
        parents = [p for p in self.opts.get_parent_list() if not p._meta.proxy and self._covers(p)]
        return [p for p in parents if not any(p in other._meta.get_parent_list() for other in parents)]

    def _covers(self, parent: type[Model]) -> bool:
        view = self.policy.view(parent)
        return view is not None and self._reads() and view.names <= self.exposure.names

    # Fields

    def _fields(self) -> list[FieldSchema]:
        if self.proxied is not None or not (self._reads() or self._writes()):
            return []
        inherited = {field for parent in self.parents for field in parent._meta.get_fields()}
        inherited |= {f for parent in self.parents for f in parent._meta.private_fields}
        links = {link for parent, link in self.opts.parents.items() if parent in self.parents and link is not None}
        fields = [*self.opts.fields, *self.opts.many_to_many, *self.opts.private_fields]
        exposed = {*self.exposure.fields, self.opts.pk}
        return [
            field_schema(self.policy, self.exposure, field)
            for field in fields
            if field in exposed
            and not hasattr(field, "field_names")  # a composite key has no separate column
            and field not in inherited
            and not (field in links and field.auto_created)
            and is_described(self.policy, self.exposure, field)
        ]

    def _composite_key(self) -> list[str]:
        """Return the names of the fields of a composite primary key (since Django 5.2), if the client sees them all."""
        names = getattr(self.opts.pk, "field_names", ())
        return list(names) if self._reads() and self._sees_all(names) else []

    def _writes(self) -> bool:
        return self.policy.can(self.model, "create") or self.policy.can(self.model, "update")

    # Options

    def _ordering(self, ordering: Iterable[Any]) -> list[str]:
        """Return the names in ``ordering`` up to the first expression or hidden name."""
        names = []
        for item in ordering:
            name = _as_name(item)
            if name is None or self.policy.blocked(name.lstrip("-").split("__"), self.opts, use=Use.ANY) is not None:
                break
            names.append(name)
        return names

    def _sees_all(self, names: Iterable[str]) -> bool:
        return all(name in self.exposure.names and self._is_own(name) for name in names)

    def _is_own(self, name: str) -> bool:
        try:
            return self.opts.get_field(name).model is self.model
        except FieldDoesNotExist:
            return False

    def _constraints(self) -> list[ConstraintSchema]:
        return [
            ConstraintSchema(name=item.name, fields=list(item.fields))
            for item in self.opts.constraints
            if isinstance(item, UniqueConstraint)
            and item.fields
            and item.condition is None
            and item.deferrable is None
            and self._sees_all(item.fields)
        ]

    def _checks(self) -> list[CheckSchema]:
        described = []
        for constraint in self.opts.constraints:
            if not isinstance(constraint, CheckConstraint):
                continue
            condition = self._condition(check_condition(constraint))
            if condition is not None:
                usual = constraint.violation_error_message == constraint.default_violation_error_message
                message = None if usual else str(constraint.violation_error_message)
                described.append(CheckSchema(name=constraint.name, condition=condition, message=message))
        return described

    def _condition(self, condition: Any) -> list[Any] | None:
        """Return ``condition`` as `CheckSchema` describes it.

        None if it has an expression that the description cannot hold, or a field that the client does not see.
        """
        if not isinstance(condition, Q) or not condition.children:
            return None
        children = [self._child(child) for child in condition.children]
        return None if None in children else [condition.connector, condition.negated, children]

    def _child(self, child: Any) -> list[Any] | None:
        if not isinstance(child, tuple):
            return self._condition(child)
        lookup, value = child
        if not self._is_visible(lookup):
            return None
        if type(value) is F:
            return [lookup, "field", value.name] if self._is_visible(value.name) else None
        if isinstance(value, list | tuple | set | frozenset):
            values = list(value)
            return [lookup, "value", values] if all(type(item) in ATOMS for item in values) else None
        return [lookup, "value", value] if type(value) in ATOMS else None

    def _is_visible(self, path: str) -> bool:
        return self._sees_all([path.partition(LOOKUP_SEP)[0]])


def _usual_name(object_name: str) -> str:
    return camel_case_to_spaces(object_name)


def _as_name(item: Any) -> str | None:
    if isinstance(item, str):
        return None if item == "?" else item
    if isinstance(item, F):
        return item.name
    if isinstance(item, OrderBy) and isinstance(item.expression, F) and not (item.nulls_first or item.nulls_last):
        return ("-" if item.descending else "") + item.expression.name
    return None
