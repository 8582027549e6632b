"""Tokens that compare the values of reads, so that equal reads are done only once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django.db.models import Model

from django_rpc.graph.values import ATOMS, Reference
from django_rpc.server.evaluate.relations import Relation

__all__ = ["token"]


def token(value: Any) -> Hashable:
    """Return a token that is equal for equal values; an object of another kind is equal only to itself."""
    kind = type(value)
    if kind in ATOMS:
        return kind, repr(value) if kind is float else value, getattr(value, "tzinfo", None)
    if isinstance(value, Model):
        return kind, value.pk
    if isinstance(value, Relation):
        return kind, value.field, type(value.instance), value.instance.pk
    if kind is Reference:
        parts = value.key if type(value.key) is tuple else (value.key,)
        return kind, value.model, tuple([token(part) for part in parts])
    return id(value)
