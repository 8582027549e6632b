"""Functions of the client's program that run at a service: the node kind, and the handle of the user.

The settings of a service (``CLIENTS``) allow this to named clients; by default, it is refused. The function crosses the
wire as bytes of cloudpickle. The service reads the bytes only after it has checked that the client may send functions.

>>> near = ship(lambda price, step: round(price / step) * step, reads_only=True)
>>> near(9.99, step=0.25) + 1
<Delayed (lambda(9.99, step=0.25) + 1)>
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from django_rpc.graph.delayed.local_functions import function_name
from django_rpc.graph.nodes.remote_function import CalledThere, ServiceCall

__all__ = ["PYTHON", "Shipped", "ShippedFunction", "ship"]

#: The version of Python of the code. The code of a function may fail in any other version.
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
#: Lock of the registry of modules in cloudpickle, which the whole process shares.
_registry = threading.Lock()


def _renew() -> None:
    """Replace the lock in a child process, because a thread of the parent may have held it."""
    global _registry
    _registry = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Shipped(ServiceCall, frozen=True, eq=False, kw_only=True):
    """A call of a function of the client at a service.

    ``code`` is the function by cloudpickle, and ``python`` is the version of Python that the code needs. ``name`` is
    the name of the function in texts and logs.
    """

    tag = "shipped"
    wire_order = ("name", "python", "code", "args", "kwargs", "reads_only")

    python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,3}$")]
    code: bytes


class ShippedFunction(CalledThere):
    """A function of the client that a service runs. Each call is recorded together with the code of the function."""

    __slots__ = ("__wrapped__",)

    def __init__(self, call: Callable[..., Any], service: str, reads_only: bool = False) -> None:
        super().__init__(service, reads_only)
        self.__wrapped__ = call

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any], where: tuple[str, int]) -> Shipped:
        # Pickled at each call, because the values of its globals and closures may have changed.
        code = _packed(self.__wrapped__)
        name = _name(self.__wrapped__)
        return Shipped(self.service, name, args, kwargs, self.reads_only, python=PYTHON, code=code, where=where)

    def __repr__(self) -> str:
        return f"<function {function_name(self.__wrapped__)} of this program, for {self.service!r}>"


def ship(call: Any = None, using: str = "rpc", *, reads_only: bool = False) -> Any:
    """Return ``call``, a function of this program, as a function that the service ``using`` runs; also a decorator.

    ``using`` is the alias of the service in DATABASES.

    >>> ship(len, using="warehouse")
    <function len of this program, for 'warehouse'>
    >>> @ship(reads_only=True)
    ... def margin(product):
    ...     return product.price - product.cost

    The service must allow this client to send functions, and must run the same version of Python. The message contains
    the code of ``call`` and of the functions and classes of its module that it uses. Other modules are imported at the
    service. A call may write, so it keeps its place among the writes and runs in their transaction. ``reads_only=True``
    declares that it does not write. Raises TypeError for an object that cannot be called. A call raises TypeError if
    the function cannot be pickled.
    """
    if call is None:
        return functools.partial(ship, using=using, reads_only=reads_only)
    if not callable(call):
        raise TypeError(f"{call!r} is no function. The service's name goes by using='...'.")
    return ShippedFunction(call, using, reads_only)


def _name(call: Any) -> str:
    """Return the name of a function as an identifier: ``lambda`` for ``<lambda>``."""
    return re.sub(r"\W|__+", "", function_name(call).strip("<>_"), flags=re.ASCII)[:63] or "function"


def _packed(call: Any) -> bytes:
    import cloudpickle

    try:
        with _by_value(getattr(call, "__module__", None) or type(call).__module__):
            packed: bytes = cloudpickle.dumps(call)
    except Exception as error:
        raise TypeError(f"{call!r} cannot be shipped, since it cannot be pickled: {error}") from error
    return packed


@contextlib.contextmanager
def _by_value(name: str) -> Iterator[None]:
    """Make cloudpickle include the code of the module ``name`` of this program, instead of references to it."""
    import cloudpickle

    module = sys.modules.get(name)
    if module is None or not _is_of_this_program(module):
        yield
        return
    with _registry:
        is_registered = name in cloudpickle.list_registry_pickle_by_value()
        if not is_registered:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            if not is_registered:
                cloudpickle.unregister_pickle_by_value(module)


def _is_of_this_program(module: Any) -> bool:
    """Return True for a module that is part of neither Python nor an installed package."""
    file = getattr(module, "__file__", None)
    return file is not None and not any(Path(file).is_relative_to(folder) for folder in _folders())


@functools.cache
def _folders() -> tuple[str, ...]:
    """Return the folders of Python and of installed packages."""
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple({*folders, *site.getsitepackages(), site.getusersitepackages()})
