"""Python functions as parts of a graph: their names, their identity and their pickled form."""

from __future__ import annotations

import functools
import hashlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["ByValue", "Finish", "MethodOf", "function_name", "identity"]


class MethodOf:
    """A method by its name, as a function of the object that it is called on.

    >>> MethodOf("upper")("a")
    'A'
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(target, self.name)(*args, **kwargs)


class Finish:
    """A function that makes the value of the client from an answer, as an input of a local function."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, value: Any) -> Any:
        return self.function(value)


def function_name(function: Any) -> str:
    """Return the name of a function, of the function of a partial, or of the class of a callable object.

    >>> function_name(functools.partial(int, base=2)), function_name(MethodOf("split"))
    ('int', 'split')
    """
    if isinstance(function, MethodOf):
        return function.name
    if isinstance(function, functools.partial):
        return function_name(function.func)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def identity(value: Any) -> bytes:
    """Return bytes that identify the content of an object in every process.

    The name identifies a function or class that its module has under this name. The pickled form identifies any other
    object; it contains the code of functions. Raises TypeError for an object that cannot be pickled.

    >>> identity(len) == identity(len) != identity(lambda x: x)
    True
    """
    token = getattr(type(value), "__dask_tokenize__", None)
    if token is not None:
        return b"token:" + repr(token(value)).encode()
    name = _importable(value)
    if name is not None:
        return b"name:" + name.encode()
    if isinstance(value, functools.partial):
        parts = (identity(value.func), value.args, sorted(value.keywords.items()))
        return b"partial:" + _pickled(parts)
    if isinstance(value, MethodOf | Finish):
        content = value.name.encode() if isinstance(value, MethodOf) else identity(value.function)
        return type(value).__name__.encode() + b":" + content
    return b"code:" + _pickled(value)


def _importable(value: Any) -> str | None:
    """Return ``module:name`` if this name leads to the object; otherwise None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    member: Any = sys.modules.get(module)
    for part in name.split("."):
        member = getattr(member, part, None)
    # The name of a decorated function leads to the result of the decorator.
    if member is not value and getattr(member, "__wrapped__", None) is not value:
        return None
    return f"{module}:{name}"


def _pickled(value: Any) -> bytes:
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value, protocol=4)
    except Exception as error:
        raise TypeError(f"{value!r} has no content that could be hashed: {error}") from error
    return hashlib.blake2b(data, digest_size=16).digest()


class ByValue:
    """A wrapper that pickles its value with cloudpickle, including lambdas and decorated functions.

    >>> pickle.loads(pickle.dumps(ByValue(lambda x: x + 1))).value(1)
    2
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Callable[..., ByValue], tuple[Any, ...]]:
        import cloudpickle

        return _load, (cloudpickle.dumps(self.value),)


def _load(data: bytes) -> ByValue:
    return ByValue(pickle.loads(data))
