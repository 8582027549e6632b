"""``with django_rpc.atomic("rpc"):``: all that mirrors write in the block is one message, and one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from django_rpc.client import errors
from django_rpc.client.unit import Unit, opened, unit_of
from django_rpc.models.reach import Reach

__all__ = ["NotSentYet", "atomic", "together"]


class NotSentYet(errors.NotSentYet, transaction.TransactionManagementError):
    """It does not fit into a block that collects; it is Django's TransactionManagementError too."""


class atomic:
    """A block in which what mirrors of one service write is collected, and sent as one message when it ends.

    ``create()``, ``save()``, ``update()``, ``delete()``, the changes of many-to-many relations and ``bulk_create()``
    send nothing.  At the end the service does all of it in one transaction, or nothing, and instances get their keys
    and what the service filled in.  Within the block, an instance that is not saved yet can be the foreign key of the
    next, and what ``update()`` and the like return is known when the block has ended: ``result()``.

    >>> with django_rpc.atomic("rpc"):                                        # doctest: +SKIP
    ...     order = Order.objects.create(customer=customer, total=10)
    ...     Line.objects.create(order=order, product_id=1)
    >>> order.pk                                                              # doctest: +SKIP
    4711

    Left by an exception, it sends nothing, and the instances are as they were.  What the service raises is raised at
    the end of the block, with the operation and the line named, and then nothing is done.  A read that could see what
    is collected raises `NotSentYet`; a `Delayed` or a queryset given to ``add()`` of the block (``as block``) is
    answered in its message.  A block within a block is a part of it; ``durable`` forbids that.

    It is also an ``async with`` block and a decorator.  ``using`` is the service's alias in DATABASES; ``timeout``
    (seconds) and ``priority`` are of the message.
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
        def block() -> atomic:  # one for each call
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
    return Unit(using, NotSentYet, Reach(using), connections[using].session.locale)


@contextlib.contextmanager
def _block(using: str, durable: bool, options: dict[str, Any]) -> Iterator[Unit]:
    """Django's own block is around it: for savepoints, ``on_commit()`` and ``durable``."""
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
    """Django's blocks are of a thread, and this one is of a task: so it stands by itself."""
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
    """A block within one: what it has collected goes, where it is left by an exception."""
    mark = unit.mark()
    try:
        yield
    except BaseException:
        unit.drop(mark)
        raise


@contextlib.contextmanager
def together(using: str, options: dict[str, Any]) -> Iterator[None]:
    """One message for what Django's own code writes in several steps; a part of the block that is open."""
    if unit_of(using) is not None:
        yield
        return
    with opened(_unit(using)) as unit:
        yield
    unit.send(connections[using].session, **options)
