"""What went wrong, as a report that a client may read.

A code of the closed list stands for each class that a client can catch by its own name; all others are ``"Remote"``
with the name of the class.  Messages that could hold SQL, values, paths or hidden names are replaced, unless the
server's setting SHOW_TRACEBACK says otherwise: the log has them in full.
"""

from __future__ import annotations

import re
import traceback
from typing import Any

from django.core import exceptions
from django.db import models, transaction, utils

from django_rpc.server.allowance import EXCEEDED
from django_rpc.server.conf import settings
from django_rpc.server.functions import UnknownFunction
from django_rpc.server.ledger import LedgerError
from django_rpc.server.policy import ClientFieldError, Policy, UnknownModel
from django_rpc.server.shipped import ShippingFailed
from django_rpc.server.validation import encode_validation_error, without_hidden_fields
from django_rpc.wire.errors import WireError
from django_rpc.wire.messages import ErrorReport

__all__ = ["CODES", "report"]

#: Classes by their code, the first that fits; exact classes of Django and Python that a client knows as well.
CODES: dict[str, type[BaseException]] = {
    **{kind.__name__: kind for kind in EXCEEDED.values()},
    "UnknownModel": UnknownModel,
    "UnknownFunction": UnknownFunction,
    "ShippingFailed": ShippingFailed,
    "DoesNotExist": exceptions.ObjectDoesNotExist,
    "MultipleObjectsReturned": exceptions.MultipleObjectsReturned,
    "FieldDoesNotExist": exceptions.FieldDoesNotExist,
    "FieldError": exceptions.FieldError,
    "ValidationError": exceptions.ValidationError,
    "PermissionDenied": exceptions.PermissionDenied,
    "EmptyResultSet": exceptions.EmptyResultSet,
    "ProtectedError": models.ProtectedError,
    "RestrictedError": models.RestrictedError,
    "IntegrityError": utils.IntegrityError,
    "DataError": utils.DataError,
    "OperationalError": utils.OperationalError,
    "NotSupportedError": utils.NotSupportedError,
    "TransactionManagementError": transaction.TransactionManagementError,
    "ProgrammingError": utils.ProgrammingError,
    "InternalError": utils.InternalError,
    "InterfaceError": utils.InterfaceError,
    "DatabaseError": utils.DatabaseError,
    "KeyError": KeyError,
    "IndexError": IndexError,
    "LookupError": LookupError,
    "AttributeError": AttributeError,
    "ZeroDivisionError": ZeroDivisionError,
    "OverflowError": OverflowError,
    "ArithmeticError": ArithmeticError,
    "TypeError": TypeError,
    "NotImplementedError": NotImplementedError,
    "RecursionError": RecursionError,
    "ValueError": ValueError,
    "AssertionError": AssertionError,
}

#: Errors of the database itself: their text holds names of tables and values of rows.
_FROM_DATABASE = (utils.Error,)
#: Subclasses that are the class itself to a client.
_FAMILIES = ("DoesNotExist", "MultipleObjectsReturned", "FieldError", "PermissionDenied")

_DATABASE_TEXTS = {
    "IntegrityError": "The database refused the write: a constraint of the service's tables does not hold.",
    "DataError": "The database refused a value: it is out of range, or not of the column's type.",
    "OperationalError": "The service's database could not do it, or could not be reached.",
    "ProgrammingError": "The service's database does not understand the query.",
    "NotSupportedError": "The service's database does not support this.",
}


#: Texts of Django that hold that of an instance, which its model makes of whatever it likes, or the name of a model.
_WITH_INSTANCES = [
    (re.compile(pattern, re.DOTALL), told)
    for pattern, told in (
        (r'Cannot query ".*": Must be ".*" instance', "An instance of another model was given."),
        (r"Cannot use QuerySet for ", "A query of another model was given."),
        (r"Failed to insert expression ", "F() expressions can only be used to update, not to insert."),
        (r"Cannot assign ", "An instance of another model was given."),
        (r".* is not related to .*\.$", "A row that was named is not related to this one."),
        (r"'.*' instance expected, got ", "An instance of another model was given."),
        (r".* instance (isn't saved|needs to have a primary key)", "An instance that is not saved was given."),
        (r'".*" needs to have a value for field', "An instance that is not saved was given."),
    )
]

#: How Django shows a column: with the table.
_COLUMN = re.compile(r"Col\(\w+, [\w.]+\.(\w+)\)")


def report(
    error: BaseException, node: int | None = None, records: Any = None, policy: Policy | None = None
) -> ErrorReport:
    """The report of ``error``.

    ``records`` makes the records of the instances that an error carries; ``policy`` says which names of models and
    fields the client knows: all, where there is none.
    """
    if isinstance(error, WireError):
        return ErrorReport(code=error.code, message=str(error), node=error.node)
    if isinstance(error, LedgerError):
        return error.report()
    code, remote_name = _code(error)
    if policy is not None and isinstance(error, exceptions.ValidationError):
        error = without_hidden_fields(error, policy.names_field)
    model = _model(error, code)
    if model is not None and policy is not None and policy.exposure(model) is None:
        return ErrorReport(code=code, message="A row that the service needs is not there.", node=node)
    return ErrorReport(
        code=code,
        message=_message(error, code),
        model=None if model is None else model._meta.label,
        remote_name=remote_name,
        data=_data(error, records),
        node=node,
        traceback="".join(traceback.format_exception(error)) if settings.SHOW_TRACEBACK else None,
    )


def _code(error: BaseException) -> tuple[str, str | None]:
    for code, cls in CODES.items():
        if type(error) is cls or (code in _FAMILIES and isinstance(error, cls)):
            return code, None
        if isinstance(error, cls) and type(error).__module__.startswith(("django.", "decimal", "builtins")):
            return code, None
    return "Remote", type(error).__name__


def _model(error: BaseException, code: str) -> type[models.Model] | None:
    """``Order`` for ``Order.DoesNotExist``."""
    if code not in ("DoesNotExist", "MultipleObjectsReturned"):
        return None
    from django.apps import apps

    name = type(error).__qualname__.rpartition(".")[0].rpartition(".")[2]
    for model in apps.get_models():
        if model.__name__ == name and type(error) in (
            vars(model).get("DoesNotExist"),
            vars(model).get("MultipleObjectsReturned"),
        ):
            return model
    return None


def _message(error: BaseException, code: str) -> str:
    if isinstance(error, exceptions.ValidationError):
        return "; ".join(str(message) for message in error.messages)
    if isinstance(error, models.ProtectedError | models.RestrictedError):
        if settings.SHOW_TRACEBACK:
            return str(error.args[0])
        return "Some of these rows are referenced by others, which protect them from being deleted."
    text = str(error)
    if settings.SHOW_TRACEBACK:
        return text
    if isinstance(error, utils.Error) and error.__cause__ is not None:
        # Django raises some of these itself, with a text of its own; those of a driver have the driver's as cause.
        return _DATABASE_TEXTS.get(code, "The service's database reported an error.")
    if isinstance(error, exceptions.FieldError) and not isinstance(error, ClientFieldError):
        text = text.partition(" Choices are")[0]
    if isinstance(error, exceptions.ImproperlyConfigured):  # its text is for the service's owner
        return "The service is not set up as it should be; its log says how."
    if isinstance(error, KeyError):
        return str(error.args[0]) if error.args else ""
    if isinstance(error, OSError):  # its text has the path
        return error.strerror or type(error).__name__
    for pattern, told in _WITH_INSTANCES:
        if pattern.match(text):
            return told
    return _COLUMN.sub(r"F(\1)", text)


def _data(error: BaseException, records: Any) -> Any:
    if isinstance(error, exceptions.ValidationError):
        return encode_validation_error(error)
    if isinstance(error, models.ProtectedError | models.RestrictedError) and records is not None:
        found = getattr(error, "protected_objects", None) or getattr(error, "restricted_objects", ())
        return records(found)
    return None
