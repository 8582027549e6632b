"""The block ``django_rpc.atomic("rpc")``: all writes of mirrors in it are one message, and one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from django_rpc import errors
from django_rpc.client.unit_of_work import Unit, opened, unit_of
from django_rpc.models.conflicts import ConflictCheck

__all__ = ["NotSentYet", "atomic", "together"]


class NotSentYet(errors.NotSentYet, transaction.TransactionManagementError):
    """The operation does not fit into a block that collects. It is also Django's TransactionManagementError."""


class atomic:
    """A block that collects the writes of mirrors of one service, and sends them as one message at its end.

    ``create()``, ``save()``, ``update()``, ``delete()``, the changes of many-to-many relations and ``bulk_create()``
    send nothing. At the end, the service executes all of them in one transaction, or none. Then the instances get their
    keys and the values that the service has filled. Within the block, an unsaved instance can be the foreign key of
    another instance. The results of ``update()`` and similar methods are known after the block: ``result()``.

    >>> with atomic("rpc"):
    ...     order = Order.objects.create(number="4711", customer_id=1, total=10)
    ...     line = Line.objects.create(order=order, product_id=1, price=10)
    >>> line.order_id == order.pk
    True

    After an exception in the block, nothing is sent, and the instances are restored. An error of the service is raised
    at the end of the block, and names the operation and its line; then nothing is done. A read that could see collected
    writes raises `NotSentYet`. A `Delayed` or a queryset passed to ``add()`` of the block (``as block``) is evaluated
    in its message. A nested block is a part of the outer block; ``durable`` forbids that.

    It is also an ``async with`` block and a decorator. ``using`` is the service's alias in DATABASES. ``timeout``
    (seconds) and ``priority`` are options of the message.
    """

    def __init__(
        self, using: str = "rpc", *, durable: bool = False, timeout: float | None = None, priority: bool = False
    ) -> None:
        self.using = using
        self.durable = durable
        self.options = {"timeout": timeout, "priority": priority}
        self._entered: list[Any] = []

    def __enter__(self) -> Unit:
        block = _block(_checked(self.using), self.durable, self.options)
        unit = block.__enter__()
        self._entered.append(block)
        return unit

    def __exit__(self, *exception: Any) -> bool | None:
        return self._entered.pop().__exit__(*exception)

    async def __aenter__(self) -> Unit:
        block = _ablock(_checked(self.using), self.durable, self.options)
        unit = await block.__aenter__()
        self._entered.append(block)
        return unit

    async def __aexit__(self, *exception: Any) -> bool | None:
        return await self._entered.pop().__aexit__(*exception)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def block() -> atomic:  # a new block for each call
            # The options are those of the constructor.
            return atomic(self.using, durable=self.durable, **self.options)  # type: ignore[arg-type]

        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with block():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            async with block():
                return await function(*args, **kwargs)

        return awaited if asyncio.iscoroutinefunction(function) else decorated


def _checked(using: str) -> str:
    if using not in connections:
        raise ImproperlyConfigured(f"There is no database {using!r} in DATABASES.")
    if connections[using].vendor != "rpc":
        raise ImproperlyConfigured(
            f"The database {using!r} is no service: use django.db.transaction.atomic(using={using!r}) for it."
        )
    return using


def _unit(using: str) -> Unit:
    return Unit(using, NotSentYet, ConflictCheck(using), connections[using].session.locale)


@contextlib.contextmanager
def _block(using: str, durable: bool, options: dict[str, Any]) -> Iterator[Unit]:
    """Open a block within Django's block, which provides savepoints, ``on_commit()`` and ``durable``."""
    connection = connections[using]
    with transaction.atomic(using=using, durable=durable):
        around = unit_of(using)
        if around is not None:
            with _part_of(around):
                yield around
            return
        with opened(_unit(using)) as unit:
            yield unit
        if connection.needs_rollback:  # set_rollback(True), or an inner block that failed without a savepoint
            unit.drop()
        else:
            unit.send(connection.session, **options)


@contextlib.asynccontextmanager
async def _ablock(using: str, durable: bool, options: dict[str, Any]) -> AsyncIterator[Unit]:
    """Open a block without Django's block: Django's block belongs to a thread, this block to a task."""
    around = unit_of(using)
    if around is not None:
        if durable:
            raise RuntimeError("A durable atomic block cannot be nested within another atomic block.")
        with _part_of(around):
            yield around
        return
    with opened(_unit(using)) as unit:
        yield unit
    await unit.asend(connections[using].session, **options)


@contextlib.contextmanager
def _part_of(unit: Unit) -> Iterator[None]:
    """Open a nested block. An exception that leaves it drops its collected operations."""
    mark = unit.mark()
    try:
        yield
    except BaseException:
        unit.drop(mark)
        raise


@contextlib.contextmanager
def together(using: str, options: dict[str, Any]) -> Iterator[None]:
    """Send several write steps of Django's code as one message, or as a part of the open block."""
    if unit_of(using) is not None:
        yield
        return
    with opened(_unit(using)) as unit:
        yield
    unit.send(connections[using].session, **options)
