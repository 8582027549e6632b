"""Keys of multi-table inheritance.

A row of a child model has a row in the table of each parent. Its key has a name in each of them: ``place_ptr_id`` of
the child and ``id`` of the parent are the same key. Django writes the parent's row by the name that it reads first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Model

from django_rpc.server.django_compat import key_fields
from django_rpc.server.evaluate.evaluator import Evaluator

__all__ = ["check_new_row", "check_same_keys", "complete_keys", "is_key", "is_link", "key_values", "saved_keys"]


class _ParentKey(NamedTuple):
    """A key: the attributes that hold it, and the parents with rows of this key."""

    names: frozenset[str]
    parents: tuple[type[Model], ...]


@functools.cache
def _cached_keys(model: Any) -> tuple[_ParentKey, ...]:
    """Return the keys of a child model, one key per line of parents; empty for a model without parent tables."""
    opts = model._meta.concrete_model._meta
    parents = [parent for parent in opts.get_parent_list() if not parent._meta.proxy]
    groups: list[set[str]] = [{opts.pk.attname}] if parents else []
    for owner in (opts.model, *parents):
        for parent, link in owner._meta.parents.items():
            if link is not None:
                names = {link.attname, parent._meta.pk.attname}
                joined = [group for group in groups if group & names]
                groups = [group for group in groups if group not in joined] + [names.union(*joined)]
    return tuple(
        [_ParentKey(frozenset(names), tuple([p for p in parents if p._meta.pk.attname in names])) for names in groups]
    )


def _keys_of(model: Any) -> tuple[_ParentKey, ...]:
    return _cached_keys(model)


def is_link(field: Any) -> bool:
    """Return True if a foreign key links a child's row to its parent's row."""
    return bool(getattr(field.remote_field, "parent_link", False))


def is_key(model: type[Model], name: str) -> bool:
    """Return True if a field is the primary key of ``model`` or of a parent, or the link to a parent."""
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    attname = getattr(field, "attname", None)
    return bool(getattr(field, "primary_key", False) or any(attname in key.names for key in _keys_of(model)))


def key_values(model: type[Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each attribute that holds a key named by ``values``; nothing for a model without parents.

    Raises ValueError if the names of a key have different values, or if a value is an expression.
    """
    by_name: dict[str, Any] = {}
    for key in _keys_of(model):
        same = [value for name, value in _named(model, values) if name in key.names or name == "pk"]
        for value in same:
            if value != same[0]:
                raise ValueError(f"The keys of a {model._meta.label} are different: {same[0]!r} and {value!r}.")
        if same:
            by_name.update(dict.fromkeys(key.names, same[0]))
    return by_name


def saved_keys(model: type[Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `key_values`, with the keys that Django's ``save()`` fills.

    It makes a missing key without a default the empty text if its field is a text field, and may then update the row
    that has this key.
    """
    keys = key_values(model, values)
    present = {name for name, value in {**values, **keys}.items() if value is not None}
    parts = key_fields(model)
    empty = {
        field.attname: field.get_default()
        for field in model._meta.concrete_fields
        if (field.primary_key or field in parts) and field.attname not in present and not field.has_default()
    }
    empty = {name: value for name, value in empty.items() if value in ("", b"")}
    return keys | empty | key_values(model, empty)


def _named(model: type[Model], values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the attribute and value of the keys in ``values`` that are not None; ``pk`` is all keys, as in Django."""
    for name, value in values.items():
        if value is None or (name != "pk" and not is_key(model, name)):
            continue
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        if isinstance(value, Model):
            value = value.pk
        if hasattr(value, "resolve_expression"):
            raise ValueError(f"The key of a {model._meta.label} is set to a value, not to an expression.")
        yield (name if name == "pk" else field.attname), field.to_python(value)


def complete_keys(model: type[Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with each key under all its names."""
    keys = key_values(model, values)
    if not keys:
        return dict(values)
    return {name: value for name, value in values.items() if name != "pk" and not is_key(model, name)} | keys


def check_same_keys(model: type[Model], row: Model, keys: Mapping[str, Any]) -> None:
    """Raise PermissionDenied if ``keys`` differ from the keys of ``row``, which is in the database."""
    if any(getattr(row, name) != value for name, value in keys.items()):
        raise PermissionDenied(f"The key of a {model._meta.label} cannot be changed.")


def check_new_row(ev: Evaluator, model: type[Model], keys: Mapping[str, Any]) -> None:
    """Raise PermissionDenied if a new row would take over the row of a parent that the client may not update.

    ``keys`` are those of `saved_keys`.
    """
    for key in _keys_of(model):
        value = next((keys[name] for name in key.names if keys.get(name) is not None), None)
        if value is None:
            continue
        for parent in key.parents:
            using = router.db_for_write(parent)
            if not parent._base_manager.using(using).filter(pk=value).exists():
                continue
            rows = ev.policy.rows(parent)
            if not ev.policy.can(parent, "update") or (
                rows is not None and not rows.using(using).filter(pk=value).exists()
            ):
                raise PermissionDenied(f"This client may not update {parent._meta.label}.")
