"""Mark of exceptions with texts for clients."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["is_public", "public_error"]

_E = TypeVar("_E")


def public_error(error: _E) -> _E:
    """Mark an exception, or a class of exceptions and its subclasses: its text may be sent to clients.

    >>> @public_error
    ... class OutOfStock(Exception):
    ...     pass
    >>> OutOfStock.safe_message
    True
    """
    error.safe_message = True  # type: ignore[attr-defined]  # a note on the object
    return error


def is_public(error: object) -> bool:
    """Return True for an exception that is marked, or that has a marked class."""
    return getattr(error, "safe_message", False) is True
