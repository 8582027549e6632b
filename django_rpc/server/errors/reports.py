"""Reports of errors for clients.

Each class that a client can catch by name has an entry in the table of `django_rpc.errors`. All other classes have the
code ``"Remote"``, with the name of the class. A message that may contain SQL, values, paths or hidden names is
replaced, unless the server's setting SHOW_TRACEBACK is True. The log has all messages in full.
"""

from __future__ import annotations

import logging
import traceback
from pkgutil import resolve_name
from typing import Any, TypeGuard

from django.apps import apps
from django.core import exceptions
from django.db import models, utils

from django_rpc.errors import ERRORS, ErrorKind, RemoteError, RpcError, WireError
from django_rpc.server.conf import settings
from django_rpc.server.django_compat import ReverseOneToOneDescriptor
from django_rpc.server.errors.constraints import find_constraint
from django_rpc.server.errors.public import is_public
from django_rpc.server.errors.texts import WITHHELD, checked_text
from django_rpc.server.errors.validation import encode_validation_error, texts_of, without_hidden_fields
from django_rpc.server.policy.client_policy import Policy, relation_named
from django_rpc.server.query.sqlite import error_behind
from django_rpc.wire.messages import ErrorReport

__all__ = ["log_level", "report"]

#: Texts for values that a database refuses, by kind.
_VALUE_TEXTS = {"length": "it is too long.", "range": "it is out of range."}
#: Entries of the table for classes of Django and Python, with these classes. The first class that matches is used.
_STANDARD: tuple[tuple[ErrorKind, type[BaseException]], ...] = tuple(
    (kind, resolve_name(kind.standard)) for kind in ERRORS.values() if kind.standard
)


def report(
    error: BaseException, node: int | None = None, records: Any = None, policy: Policy | None = None
) -> ErrorReport:
    """Return the report of ``error``.

    ``records`` makes the records of the instances in the error. ``policy`` decides which names of models and fields
    may be in the text. Without a policy, all names may be.
    """
    error = error_behind(error)
    if _is_of_this_service(error):
        return ErrorReport(code=error.code, message=str(error), node=getattr(error, "node", node))
    code, remote_name = _code(error)
    if policy is not None and isinstance(error, exceptions.ValidationError):
        error = without_hidden_fields(error, policy.names_field)
    model = _model(error, code)
    if model is not None and policy is not None and policy.exposure(model) is None:
        return ErrorReport(code=code, message=ERRORS[code].withheld_text, node=node)
    broken = _broken(error, policy) if isinstance(error, utils.IntegrityError | utils.DataError) else None
    return ErrorReport(
        code=code,
        message=_message(error, code, policy) if broken is None else _text_of(*broken),
        model=None if model is None else model._meta.label,
        remote_name=remote_name,
        data=_data(error, records, policy) if broken is None else {"kind": broken[0], "fields": broken[1]},
        node=node,
        traceback="".join(traceback.format_exception(error)) if settings.SHOW_TRACEBACK else None,
    )


def _is_of_this_service(error: BaseException) -> TypeGuard[RpcError]:
    """Return True for an error that this service raised by its table.

    The project's code can be a client of another service. The errors of such calls are not marked as public.
    """
    return isinstance(error, WireError) or (isinstance(error, RpcError) and is_public(error) and error.code in ERRORS)


def _code(error: BaseException) -> tuple[str, str | None]:
    """Return the code of an exception of other code; the name of its class if it has no entry in the table."""
    for kind, cls in _STANDARD:
        if type(error) is cls or (kind.covers_subclasses and isinstance(error, cls)):
            return kind.code, None
        if isinstance(error, cls) and type(error).__module__.startswith(("django.", "decimal", "builtins")):
            return kind.code, None
    return RemoteError.code, type(error).__name__


def _model(error: BaseException, code: str) -> type[models.Model] | None:
    """Return the model of the error: ``Order`` for ``Order.DoesNotExist``."""
    if code not in ("DoesNotExist", "MultipleObjectsReturned"):
        return None
    relation = _empty_relation(error)
    if relation is not None:
        return relation.related_model
    name = type(error).__qualname__.rpartition(".")[0].rpartition(".")[2]
    for model in apps.get_models():
        if model.__name__ == name and type(error) in (
            vars(model).get("DoesNotExist"),
            vars(model).get("MultipleObjectsReturned"),
        ):
            return model
    return None


def _empty_relation(error: BaseException) -> Any:
    """Return the one-to-one relation that has no row, for the error ``Customer.profile.RelatedObjectDoesNotExist``."""
    *_, owner, _, kind = ("", "", *type(error).__qualname__.split("."))
    if kind != "RelatedObjectDoesNotExist":
        return None
    for model in apps.get_models():
        descriptors = vars(model).values() if model.__name__ == owner else ()
        for descriptor in descriptors:
            if (
                isinstance(descriptor, ReverseOneToOneDescriptor)
                and type(error) is descriptor.RelatedObjectDoesNotExist
            ):
                return descriptor.related
    return None


def _relation_data(error: BaseException, policy: Policy | None) -> dict[str, str] | None:
    """Return the model and the name of the relation without a row, for a client that sees the relation."""
    relation = _empty_relation(error)
    if relation is None:
        return None
    model, name = relation.model, relation.get_accessor_name()
    if policy is not None:
        try:
            relation_named(policy, model, name)
        except exceptions.FieldDoesNotExist:
            return None
    return {"model": model._meta.label, "relation": name}


def _broken(error: utils.Error, policy: Policy | None) -> tuple[str, list[str]] | None:
    """Return the kind of the violated constraint, and its fields if the client may see all of them."""
    if settings.SHOW_TRACEBACK or is_public(error):
        return None
    kind, model, names = find_constraint(error, policy.touched() if policy is not None else ())
    if not kind:
        return None
    exposure = policy.exposure(model) if policy is not None and model is not None else None
    visible = exposure is not None and all(
        name in exposure.names or name in exposure.writable or name in exposure.filterable for name in names
    )
    return kind, names if visible else []


def _text_of(kind: str, names: list[str]) -> str:
    fields = ", ".join(map(repr, names))
    if kind in _VALUE_TEXTS:
        return f"The database refused a value{f' of {fields}' if names else ''}: {_VALUE_TEXTS[kind]}"
    return f"The database refused the write: the {kind} constraint of {fields or 'a table'} does not hold."


def _message(error: BaseException, code: str, policy: Policy | None) -> str:
    if isinstance(error, exceptions.ValidationError):
        return "; ".join(texts_of(encode_validation_error(error)))
    if settings.SHOW_TRACEBACK:
        return str(error.args[0] if isinstance(error, models.ProtectedError | models.RestrictedError) else error)
    if isinstance(error, models.ProtectedError | models.RestrictedError):
        return "Some of these rows are referenced by others, which protect them from being deleted."
    if isinstance(error, exceptions.ImproperlyConfigured):  # its text is for the service's owner
        return "The service has a wrong setting; its log has the details."
    text = checked_text(error, policy)
    if text is None:
        text = f"{ERRORS[code].withheld_text or f'The service raised {type(error).__name__}.'} {WITHHELD}"
    return text


def log_level(made: ErrorReport) -> int:
    """Return the level for the log; a withheld text gets a higher level, since only the log contains it."""
    if made.code == RemoteError.code:
        return logging.ERROR
    return logging.WARNING if made.message.endswith(WITHHELD) else logging.INFO


def _data(error: BaseException, records: Any, policy: Policy | None) -> Any:
    if isinstance(error, exceptions.ValidationError):
        return encode_validation_error(error)
    if isinstance(error, models.ProtectedError | models.RestrictedError) and records is not None:
        instances = getattr(error, "protected_objects", None) or getattr(error, "restricted_objects", ())
        return records(instances)
    return _relation_data(error, policy)
