"""The client's own Python functions that go to a service and run there: the kind of node, and the user's handle.

A service allows that to a client by its settings (``CLIENTS``), and to nobody by default.  The function crosses the
wire as bytes of cloudpickle, which nobody but the service looks into, when it has found out that the client may.

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

#: Code of a function is that of one version of Python: what another one makes of it, nobody promises.
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
#: cloudpickle's registry of modules is the process's own.
_registry = threading.Lock()


def _renew() -> None:
    """Make the lock anew in a child process: another thread of its parent may have held it."""
    global _registry
    _registry = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Shipped(ServiceCall, frozen=True, eq=False, kw_only=True):
    """A call of the client's own function at a service: ``code`` is the function by cloudpickle, of this ``python``.

    ``name`` is for people and logs.
    """

    tag = "shipped"
    wire_order = ("name", "python", "code", "args", "kwargs", "reads_only")

    python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,3}$")]
    code: bytes


class ShippedFunction(CalledThere):
    """A function of the client that a service runs; its calls are written down, and its code goes along with them."""

    __slots__ = ("__wrapped__",)

    def __init__(self, call: Callable[..., Any], service: str, reads_only: bool = False) -> None:
        super().__init__(service, reads_only)
        self.__wrapped__ = call

    def _written(self, args: tuple[Any, ...], kwargs: dict[str, Any], where: tuple[str, int]) -> Shipped:
        # Anew for each call: the globals and closures that it uses may be others now.
        code = _packed(self.__wrapped__)
        name = _name(self.__wrapped__)
        return Shipped(self.service, name, args, kwargs, self.reads_only, python=PYTHON, code=code, where=where)

    def __repr__(self) -> str:
        return f"<function {function_name(self.__wrapped__)} of this program, for {self.service!r}>"


def ship(call: Any = None, using: str = "rpc", *, reads_only: bool = False) -> Any:
    """``call``, a function of this program, to be run by the service ``using`` (its alias in DATABASES); a decorator.

    >>> ship(len, using="warehouse")
    <function len of this program, for 'warehouse'>
    >>> @ship(reads_only=True)
    ... def margin(product):
    ...     return product.price - product.cost

    The service has to allow it to this client, and runs the same version of Python.  The code of ``call`` goes along,
    and that of what it uses from its own module; all else is imported there.  A call may write, so it keeps its place
    among the writes and runs in their transaction; ``reads_only=True`` says that it does not.
    Raises TypeError for what cannot be called; a call does for a function that cannot be pickled.
    """
    if call is None:
        return functools.partial(ship, using=using, reads_only=reads_only)
    if not callable(call):
        raise TypeError(f"{call!r} is no function. The service's name goes by using='...'.")
    return ShippedFunction(call, using, reads_only)


def _name(call: Any) -> str:
    """The name of a function as one that may stand in a message: ``lambda`` for ``<lambda>``."""
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
    """Within the block, cloudpickle takes the code of what a module of this program defines, and not its name."""
    import cloudpickle

    module = sys.modules.get(name)
    if module is None or not _is_of_this_program(module):
        yield
        return
    with _registry:
        known = name in cloudpickle.list_registry_pickle_by_value()
        if not known:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            if not known:
                cloudpickle.unregister_pickle_by_value(module)


def _is_of_this_program(module: Any) -> bool:
    """Whether nobody but this program need have the module: it is neither Python's nor an installed package's."""
    file = getattr(module, "__file__", None)
    return file is not None and not any(Path(file).is_relative_to(folder) for folder in _folders())


@functools.cache
def _folders() -> tuple[str, ...]:
    """Where Python and packages are installed."""
    own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple({*own, *site.getsitepackages(), site.getusersitepackages()})
