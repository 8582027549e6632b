"""A whole `get` of one row, SQL included, beside an empty Celery echo as people run it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import CONCURRENCY, PLAIN_SERVER, SERVER, Stack, rabbitmq

__all__ = ["on_rabbitmq", "on_redis", "pools"]

GOAL = 0.8


def on_redis(stack: Stack, effort: Effort) -> Iterator[Row]:
    """Redis for messages and answers, prefork; a kept connection to the database, and a new one for each call.

    A ping is a call that reads nothing: what is left of a get without the ORM of both ends.
    """
    yield _row(stack, effort, "Redis", stack.redis, stack.redis)
    yield _row(stack, effort, "Redis", stack.redis, stack.redis, goal=None, name="ping", what="a ping, no SQL")
    if effort.quick:
        return
    where = "Redis, with CONN_MAX_AGE = 0"
    yield _row(stack, effort, where, stack.redis, stack.redis, settings=PLAIN_SERVER, goal=None)


def pools(stack: Stack, effort: Effort) -> Iterator[Row]:
    """The other pools of Celery."""
    for pool in ("threads", "solo"):
        yield _row(stack, effort, "Redis", stack.redis, stack.redis, pool)


def on_rabbitmq(stack: Stack, effort: Effort) -> Iterator[Row]:
    """RabbitMQ for messages; answers by Redis, or by RabbitMQ too. Raises Skipped without a RabbitMQ."""
    broker = rabbitmq()
    yield _row(stack, effort, "RabbitMQ, answers by Redis", broker, stack.redis)
    yield _row(stack, effort, "RabbitMQ, rpc://", broker, "rpc://", goal=None)


def _row(
    stack: Stack,
    effort: Effort,
    where: str,
    broker: str,
    backend: str,
    pool: str = "prefork",
    goal: float | None = GOAL,
    settings: str = SERVER,
    name: str = "get",
    what: str = "get of one row",
) -> Row:
    with stack.apart() as parts:
        ours, echo = parts.ours(broker, backend, pool, settings), parts.echo(broker, backend, pool)
        seconds = interleave({"ours": lane(ours, name), "echo": lane(echo, "call")}, effort)
    return compare(
        "round trip",
        (what, seconds["ours"]),
        ("an empty Celery echo", seconds["echo"]),
        goal=goal,
        note=f"{where}; {pool}, {CONCURRENCY} at a time",
    )
