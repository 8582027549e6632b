"""The async methods of a mirror's querysets. They call the blocking methods without blocking and without a thread.

Django runs async methods in one thread, one after the other, so 200 concurrent calls take 200 round trips. Here each
method runs in the event loop until it sends its message (`django_rpc.client.async_replay`). This needs methods without
an effect before their message: all reads, and the writes that are one message. ``acreate()`` and ``abulk_create()``
send signals and prepare instances first, so they are the methods of Django.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from django_rpc.client.async_replay import replayed
from django_rpc.models.expressions import materialize_iterators

__all__ = ["AsyncMethods"]

_NAMES = (
    "get first last earliest latest in_bulk count exists contains aggregate explain "
    "update delete get_or_create update_or_create bulk_update getset call"
)


class AsyncMethods:
    """``aget``, ``acount``, ``async for`` and the like."""

    _result_cache: Any
    _fetch_all: Callable[[], None]
    iterator: Callable[..., Any]

    def __aiter__(self) -> AsyncIterator[Any]:
        async def rows() -> AsyncIterator[Any]:
            await replayed(self._fetch_all)
            for row in self._result_cache:
                yield row

        return rows()

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Any]:
        """Yield the rows without a cache, as ``iterator()`` does."""
        for row in await replayed(lambda: list(self.iterator(chunk_size))):
            yield row


def _awaited(name: str) -> Callable[..., Any]:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Iterators are read once, however often the method is called.
        return await replayed(
            functools.partial(getattr(self, name), *materialize_iterators(args), **materialize_iterators(kwargs))
        )

    method.__name__ = "a" + name
    method.__qualname__ = f"{AsyncMethods.__name__}.a{name}"
    method.__doc__ = f"`{name}`, without blocking the event loop."
    return method


for _name in _NAMES.split():
    setattr(AsyncMethods, "a" + _name, _awaited(_name))
