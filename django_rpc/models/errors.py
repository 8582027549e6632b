"""Conversion of a service's reports to the exceptions that Django users catch."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import getattr_static
from pkgutil import resolve_name
from typing import Any

from django.core import exceptions
from django.db import IntegrityError, utils
from django.db.models import Model, ProtectedError, RestrictedError

from django_rpc import errors
from django_rpc.backend.django_compat import ReverseOneToOneDescriptor
from django_rpc.client import remote_errors
from django_rpc.client.decode_result import decode_result
from django_rpc.graph.nodes import Node
from django_rpc.models.dispatch import key_names
from django_rpc.wire.messages import ErrorReport

__all__ = ["build"]

#: Conversions of a width or precision that is large, or that a param gives.
_WIDE = re.compile(r"%(?:\([^)]*\))?[-#0 +.\d]*(?:\d{4}|\*)")


class RemotePermissionDenied(errors.PermissionDenied, exceptions.PermissionDenied):
    """The service does not allow the operation.

    It is also Django's PermissionDenied, so that views respond with 403.
    """


#: Classes of Django and Python by code, for exceptions that have only a message.
_PLAIN: dict[str, type[Exception]] = {
    **{kind.code: resolve_name(kind.standard) for kind in errors.ERRORS.values() if kind.standard},
    "PermissionDenied": RemotePermissionDenied,
}


def build(results: Any, report: ErrorReport, node: Node | None) -> Exception:
    """Return the exception for ``report``: of Django's class where one exists, otherwise the exception of client/."""
    special = _SPECIAL.get(report.code)
    if special is not None:
        return special(results, report)
    plain = _PLAIN.get(report.code)
    return remote_errors.build(report) if plain is None else plain(report.message)


def _of_model(attribute: str, fallback: type[Exception]) -> Callable[[Any, ErrorReport], Exception]:
    def builder(results: Any, report: ErrorReport) -> Exception:
        model = results.mirror(report.model) if report.model else None
        cls = fallback if model is None else getattr(model, attribute)
        return cls(report.message)

    return builder


def _does_not_exist(results: Any, report: ErrorReport) -> Exception:
    """Return the error of the model, or that of a one-to-one relation without a row.

    The service is not trusted: an error of the relation is used only where the mirror has this relation to the model.
    """
    error = _of_model("DoesNotExist", exceptions.ObjectDoesNotExist)(results, report)
    data = report.data if isinstance(report.data, dict) else {}
    label, name = data.get("model"), data.get("relation")
    owner = results.mirror(label) if isinstance(label, str) else None
    descriptor = getattr_static(owner, name, None) if owner is not None and isinstance(name, str) else None
    if isinstance(descriptor, ReverseOneToOneDescriptor):
        cls = descriptor.RelatedObjectDoesNotExist
        if issubclass(cls, type(error)):
            return cls(report.message)
    return error


def _validation(results: Any, report: ErrorReport) -> Exception:
    """Return the ValidationError of the service, with its messages, codes and params."""
    try:
        return _validation_error(report.data)
    except (TypeError, ValueError, KeyError):
        return exceptions.ValidationError(report.message)


def _validation_error(data: Any) -> exceptions.ValidationError:
    """Return the error for the data of a report; raise TypeError, ValueError or KeyError where it is malformed."""
    if isinstance(data, dict):
        return exceptions.ValidationError({str(name): _entries(items) for name, items in data.items()})
    if isinstance(data, list) and data and isinstance(data[0], str):
        return _entry(data)
    return exceptions.ValidationError(_entries(data))


def _entries(data: Any) -> list[exceptions.ValidationError]:
    if not isinstance(data, list):
        raise TypeError("The entries of a ValidationError are a list.")
    return [_entry(item) for item in data]


def _entry(data: list[Any]) -> exceptions.ValidationError:
    message, code, params = data
    if not isinstance(message, str) or not isinstance(code, str | None) or not isinstance(params, dict | tuple | None):
        raise TypeError("An entry of a ValidationError is a message, a code and params.")
    if params:
        if _WIDE.search(message):
            raise ValueError("A message has a conversion that makes a text of any length.")
        message % params  # raise here, and not when the messages are read
    return exceptions.ValidationError(message, code, params)


def _constraint(cls: type[Exception]) -> Callable[[Any, ErrorReport], Exception]:
    """Return a builder of ``cls`` with ``constraint_kind`` ("" where unknown) and the names of its ``fields``."""

    def builder(results: Any, report: ErrorReport) -> Exception:
        error: Any = cls(report.message)
        data = report.data if isinstance(report.data, dict) else {}
        kind, names = data.get("kind", ""), data.get("fields", ())
        error.constraint_kind = kind if isinstance(kind, str) else ""
        error.fields = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
        return error

    return builder


def _protected(cls: type[Exception]) -> Callable[[Any, ErrorReport], Exception]:
    def builder(results: Any, report: ErrorReport) -> Exception:
        instances = decode_result(report.data, results)
        rows = instances if isinstance(instances, list) else []
        return cls(report.message, {row for row in rows if _has_key(row)})

    return builder


def _has_key(row: Any) -> bool:
    """Return whether ``row`` is an instance with a primary key, without which it is no member of a set."""
    return isinstance(row, Model) and all(row.__dict__.get(name) is not None for name in key_names(type(row)))


_SPECIAL: dict[str, Callable[[Any, ErrorReport], Exception]] = {
    "DoesNotExist": _does_not_exist,
    "MultipleObjectsReturned": _of_model("MultipleObjectsReturned", exceptions.MultipleObjectsReturned),
    "ValidationError": _validation,
    "IntegrityError": _constraint(IntegrityError),
    "DataError": _constraint(utils.DataError),
    "ProtectedError": _protected(ProtectedError),
    "RestrictedError": _protected(RestrictedError),
}
