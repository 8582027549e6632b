"""Python operations that need a computed value: each raises TypeError with the code to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.graph.nodes.collections import depends

__all__ = ["Refusals"]


def _short(node: Node) -> str:
    return describe(node, 80)


class Refusals:
    """Assignment, truth, length, iteration and conversion of a handle: each raises TypeError.

    Length and iteration are allowed if the user declared the number of results (``nout``).
    """

    __slots__ = ()

    _node: Node

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise TypeError(
            f"A Delayed cannot be changed, so .{name} cannot be set. To change rows, write .update({name}=...) on a "
            "query; to change an instance, compute() it, set the attribute and save() it."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise TypeError(f"A Delayed cannot be changed, so .{name} cannot be deleted.")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError("A Delayed cannot be changed, so no item of it can be set. Change the result of compute().")

    def __delitem__(self, key: Any) -> NoReturn:
        raise TypeError("A Delayed cannot be changed, so no item of it can be deleted. Use .delete() on a query.")

    def __iter__(self) -> Iterator[Any]:
        nout = getattr(self._node, "nout", None)
        if depends(self._node):
            raise TypeError(
                f"{_short(self._node)} is known at the service only, where the lambda will be done: it cannot be "
                "iterated over (nor unpacked) here. Write .map(lambda element: ...), and [0], [1] for parts."
            )
        if nout is None:
            raise TypeError(
                f"{_short(self._node)} has not been computed, so it cannot be iterated over (nor unpacked). "
                "Write: for row in d.compute(): ... (or, for a call with a known number of results: "
                "delayed(function, nout=2))."
            )
        return iter([self[index] for index in range(nout)])  # type: ignore[index]  # a Delayed has items

    def __aiter__(self) -> NoReturn:
        raise TypeError(f"{_short(self._node)} has not been computed. Write: for row in await d: ...")

    def __reversed__(self) -> NoReturn:
        instead = "d.reverse()" if self._node.is_query else "reversed(d.compute())"
        raise TypeError(f"{_short(self._node)} has not been computed. Write: {instead}")

    def __len__(self) -> int:
        nout: int | None = getattr(self._node, "nout", None)
        if nout is not None:
            return nout
        instead = "d.count() for a Delayed, d.count().compute() for the number" if self._node.is_query else ""
        if depends(self._node):
            instead = ".count() of a query, .map(...).len() of a list: a lambda is done at the service"
        raise TypeError(f"The length of {_short(self._node)} is not known yet. Write {instead or 'len(d.compute())'}.")

    def __bool__(self) -> NoReturn:
        if depends(self._node):
            raise TypeError(
                f"Whether {_short(self._node)} is true is known at the service only, where the lambda will be done: "
                "if, and, or, not and 'in' cannot ask. Write django_rpc.cond(test, then, otherwise) in their place."
            )
        instead = "d.exists().compute()" if self._node.is_query else "d.compute()"
        raise TypeError(
            f"Whether {_short(self._node)} is true is not known yet: if, and, or, not and 'in' cannot ask. "
            f"Write {instead} and test the result."
        )

    def __contains__(self, item: Any) -> NoReturn:
        instead = "d.contains(instance).compute() or d.filter(pk=...).exists()" if self._node.is_query else ""
        raise TypeError(f"What {_short(self._node)} holds is not known yet. Write {instead or 'x in d.compute()'}.")

    def __index__(self) -> NoReturn:
        raise TypeError(f"{_short(self._node)} is no number yet, so it cannot be an index or a range. Use d.compute().")

    def __int__(self) -> NoReturn:
        raise TypeError(f"{_short(self._node)} is no number yet. Write int(d.compute()).")

    def __float__(self) -> NoReturn:
        raise TypeError(f"{_short(self._node)} is no number yet. Write float(d.compute()).")

    def __format__(self, spec: str) -> str:
        if depends(self._node):
            raise TypeError(
                f"{_short(self._node)} is known at the service only, where the lambda will be done: an f-string cannot "
                "hold it. Join texts by +."
            )
        return format(repr(self), spec)

    def __enter__(self) -> NoReturn:
        raise TypeError("A Delayed is no context manager.")

    def __exit__(self, *args: object) -> None:
        """Exists only so that ``with`` reaches the error of ``__enter__``."""
