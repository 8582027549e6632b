"""Python's operators for a handle that writes down what is done to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Operators"]


class Operators:
    """Each operator, as a call of ``_operate(name, left, right)`` by the name that module ``operator`` gives it."""

    __slots__ = ()

    _operate: Callable[..., Any]

    def __add__(self, other: Any) -> Any:
        return self._operate("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._operate("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._operate("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._operate("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._operate("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._operate("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._operate("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._operate("truediv", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self._operate("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._operate("floordiv", other, self)

    def __mod__(self, other: Any) -> Any:
        return self._operate("mod", self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._operate("mod", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._operate("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._operate("pow", other, self)

    def __matmul__(self, other: Any) -> Any:
        return self._operate("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._operate("matmul", other, self)

    def __lshift__(self, other: Any) -> Any:
        return self._operate("lshift", self, other)

    def __rlshift__(self, other: Any) -> Any:
        return self._operate("lshift", other, self)

    def __rshift__(self, other: Any) -> Any:
        return self._operate("rshift", self, other)

    def __rrshift__(self, other: Any) -> Any:
        return self._operate("rshift", other, self)

    def __and__(self, other: Any) -> Any:
        return self._operate("and_", self, other)

    def __rand__(self, other: Any) -> Any:
        return self._operate("and_", other, self)

    def __or__(self, other: Any) -> Any:
        return self._operate("or_", self, other)

    def __ror__(self, other: Any) -> Any:
        return self._operate("or_", other, self)

    def __xor__(self, other: Any) -> Any:
        return self._operate("xor", self, other)

    def __rxor__(self, other: Any) -> Any:
        return self._operate("xor", other, self)

    def __lt__(self, other: Any) -> Any:
        return self._operate("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return self._operate("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return self._operate("gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return self._operate("ge", self, other)

    def __eq__(self, other: Any) -> Any:
        return self._operate("eq", self, other)

    def __ne__(self, other: Any) -> Any:
        return self._operate("ne", self, other)

    __hash__ = object.__hash__  # by identity, since == builds a node

    def __neg__(self) -> Any:
        return self._operate("neg", self)

    def __pos__(self) -> Any:
        return self._operate("pos", self)

    def __invert__(self) -> Any:
        return self._operate("invert", self)

    def __abs__(self) -> Any:
        return self._operate("abs", self)
