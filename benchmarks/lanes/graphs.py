"""Graphs of three shapes, written as a user would, for our Delayed and for dask's.

``BENCH_GRAPHS`` is ``ours`` or ``dask``: a process imports one of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from benchmarks.serve import serve

if os.environ.get("BENCH_GRAPHS") == "dask":
    import dask
    from dask import delayed

    def load(number: int) -> int:
        return number

    def add(*numbers: int) -> int:
        return sum(numbers)

    # Calls of functions, which are impure by default: a dask user's cheapest way (operators hash their operands).
    _load, _add = delayed(load), delayed(add)

    def first() -> Any:
        return _load(0)

    def step(value: Any) -> Any:
        return _add(value, 1)

    def leaf(_: Any, number: int) -> Any:
        return _load(number)

    def join(left: Any, right: Any) -> Any:
        return _add(left, right)

    def gather(values: list[Any]) -> Any:
        return delayed(values)

    def send(value: Any) -> Any:
        return dask.optimize(value)  # what dask does before it runs a graph; it encodes none

else:
    from django_rpc.graph.delayed.delayed import delayed
    from django_rpc.graph.nodes import ModelSource
    from django_rpc.graph.plan.pipeline import plan
    from django_rpc.wire.codec import encode_request
    from django_rpc.wire.limits import Limits
    from django_rpc.wire.messages import Request

    _unlimited = Limits(message_bytes=1 << 30)

    _source = ModelSource("shop.Order", "rpc")

    def first() -> Any:
        return delayed(_source).first().total

    def step(value: Any) -> Any:
        return value + 1

    def leaf(root: Any, number: int) -> Any:
        return root[number]

    def join(left: Any, right: Any) -> Any:
        return left + right

    def gather(values: list[Any]) -> Any:
        return delayed(values)

    def send(value: Any) -> Any:
        (stage,) = plan([value]).stages
        return encode_request(Request(id="bench", nodes=stage.nodes, outputs=stage.outputs), _unlimited)


def chain(nodes: int) -> Callable[[], Any]:
    """Each node stands on the one before it."""

    def run() -> Any:
        value = first()
        for _ in range(nodes - 1):
            value = step(value)
        return value

    return run


def fan_in(nodes: int) -> Callable[[], Any]:
    """One node stands on all others."""

    def run() -> Any:
        root = first()
        return gather([leaf(root, number) for number in range(nodes - 1)])

    return run


def mesh(nodes: int) -> Callable[[], Any]:
    """Layers, in which each node stands on two neighbours of the layer before: diamonds all over."""
    width = max(2, math.isqrt(nodes))

    def run() -> Any:
        root = first()
        layer = [leaf(root, number) for number in range(width)]
        for _ in range(nodes // width - 1):
            layer = [join(layer[place - 1], layer[place]) for place in range(width)]
        return gather(layer)

    return run


def sent(shape: str, nodes: int) -> Callable[[], Any]:
    """A graph built, planned and encoded."""
    build = SHAPES[shape](nodes)
    return lambda: send(build())


def planned(shape: str, nodes: int) -> Callable[[], Any]:
    """A graph that has been built, planned and encoded."""
    value = SHAPES[shape](nodes)()
    return lambda: send(value)


SHAPES = {"chain": chain, "fan-in": fan_in, "mesh": mesh}

if __name__ == "__main__":
    serve({**SHAPES, "sent": sent, "planned": planned})
