"""Guard against values with equal hashes: a set or dict of n such values takes n² comparisons.

Python does not randomize the hashes of numbers, UUIDs and tuples, so a message can contain any number of them with one
hash. The hashes of strings, bytes and dates are randomized for each process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django_rpc.errors import BadValue

__all__ = ["Hashes"]

#: Different values of a message that may share a hash with an earlier value. Chance gives none or one (-1 and -2).
_MOST = 100
#: Values between two looks at the clock.
_BATCH = 256


class Hashes:
    """The hashes in one message; ``check`` raises when the time of the request is over.

    >>> hashes = Hashes(lambda: None)
    >>> hashes.add([1, 1.0, 2])
    >>> hashes.add([k * (2**61 - 1) for k in range(1, 200)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    django_rpc.errors.BadValue: More than 100 values of the message have ...
    """

    __slots__ = ("_check", "_collisions", "_first", "_until_check")

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._first: dict[int, Any] = {}
        self._collisions = 0
        self._until_check = _BATCH

    def add(self, values: Iterable[Any]) -> None:
        """Note values that may become members of a set, or keys; raises BadValue for too many collisions."""
        for value in values:
            self.note(value)

    def note(self, value: Any) -> None:
        """Note one value; a value without a hash is skipped."""
        self._until_check -= 1
        if self._until_check < 0:
            self._until_check = _BATCH
            self._check()
        try:
            first = self._first.setdefault(hash(value), value)
        except TypeError:
            return
        if first is not value and first != value:
            self._collisions += 1
            if self._collisions > _MOST:
                raise BadValue(
                    f"More than {_MOST} values of the message have the hash of another value. "
                    "Python would compare them all with each other."
                )
