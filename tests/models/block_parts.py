"""Helpers of the tests of blocks."""

from __future__ import annotations

import datetime as dt

__all__ = ["Left", "customer"]


class Left(Exception):
    """A block is left by it."""


def customer(remote, name="Ada", **values):
    """A customer that is not saved yet."""
    given = {"name": name, "email": f"{name}@example.org", "city": "Oslo", "joined": dt.date(2025, 1, 1), **values}
    return remote.Customer(**given)
