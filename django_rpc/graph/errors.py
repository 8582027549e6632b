"""The errors of the graph room, all raised before anything is sent."""

from __future__ import annotations

__all__ = ["MissingExtra", "NoRunner", "NotSupported"]


class NotSupported(NotImplementedError):
    """What was asked for is understood, and this version cannot do it."""


class NoRunner(LookupError):
    """Nothing is known that could compute this Delayed."""


class MissingExtra(ImportError):
    """A part of django_rpc needs packages that an extra brings (``pip install "django-rpc[viz]"``)."""
