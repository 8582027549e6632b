"""Encode a ValidationError for a client: messages, codes and params, without the names of hidden fields.

A ValidationError is written for the person who entered the values, so its messages and params may reach clients.
Params that are not plain values, such as model instances, are never converted to text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.functional import Promise

from django_rpc.graph.values import ATOMS
from django_rpc.graph.walk import DATA, map_children

__all__ = ["encode_validation_error", "texts_of", "without_hidden_fields"]

#: Text in a message in place of a param that is not a plain value.
_NOT_PLAIN = "..."


def encode_validation_error(error: ValidationError) -> Any:
    """Return a dict of lists of entries, a list of entries, or a single entry, like the form of ``error``.

    An entry is ``[message, code, params]``.
    """
    if hasattr(error, "error_dict"):
        return {str(name): [_entry(item) for item in items] for name, items in error.error_dict.items()}
    if hasattr(error, "message"):
        return _entry(error)
    return [_entry(item) for item in error.error_list]


def texts_of(data: Any) -> list[str]:
    """Return the messages in encoded ``data``, each formatted with its params."""
    if isinstance(data, dict):
        return [text for entries in data.values() for text in texts_of(entries)]
    if data and isinstance(data[0], str):
        message, _, params = data
        return [message % params if params else message]
    return [text for entry in data for text in texts_of(entry)]


def without_hidden_fields(error: ValidationError, is_visible: Callable[[str], bool]) -> ValidationError:
    """Return ``error`` without the entries that name a hidden field."""
    if hasattr(error, "message"):
        return _visible_entry(error, is_visible)
    if not hasattr(error, "error_dict"):
        return ValidationError([_visible_entry(item, is_visible) for item in error.error_list])
    entries: dict[str, list[ValidationError]] = {}
    for name, items in error.error_dict.items():
        if name == NON_FIELD_ERRORS or is_visible(name):
            entries.setdefault(name, []).extend(_visible_entry(item, is_visible) for item in items)
        else:
            entries.setdefault(NON_FIELD_ERRORS, []).append(_refused())
    return ValidationError(entries)


def _visible_entry(error: ValidationError, is_visible: Callable[[str], bool]) -> ValidationError:
    names = error.params.get("unique_check", ()) if isinstance(error.params, dict) else ()
    return error if all(is_visible(name) for name in names if isinstance(name, str)) else _refused()


def _refused() -> ValidationError:
    return ValidationError("The service does not take these values.", code="invalid")


def _entry(error: ValidationError) -> list[Any]:
    message, code = _as_text(error.message), _as_text(error.code)
    if message is None:
        return _entry(_refused())
    if not error.params:
        return [message, code, None if error.params is None else {}]
    try:
        params = _plain_params(error.params, message)
        if not message:  # ngettext_lazy() has a text only with the number among the params
            message = str(error.message % params).replace("%", "%%")
        message % params
    except (TypeError, ValueError, KeyError):  # the format needs an object that is not plain
        return _entry(_refused())
    return [message, code, params]


def _plain_params(params: Any, message: str) -> Any:
    """Return the params without objects that are not plain; raise TypeError for a tuple with such an object."""
    if not isinstance(params, dict):
        return _plain(params)
    plain = {}
    for name, value in params.items():
        try:
            plain[str(name)] = _plain(value)
        except TypeError:
            if f"%({name})" in message:
                plain[str(name)] = _NOT_PLAIN
    return plain


def _as_text(value: Any) -> str | None:
    """Return a text, a translated text or a plain value as a text; None for all other objects."""
    if isinstance(value, Promise) or (value is not None and type(value) in ATOMS):
        return str(value)
    return str.__str__(value) if isinstance(value, str) else None


def _plain(value: Any) -> Any:
    """Return ``value`` as a value that the codec can write; raises TypeError for all other objects."""
    if type(value) in ATOMS:
        return value
    if type(value) in DATA:
        return map_children(value, _plain)
    text = _as_text(value)  # a translated text, a SafeString, a member of TextChoices
    if text is None:
        raise TypeError(f"A {type(value).__name__} is not a plain value.")
    return text
