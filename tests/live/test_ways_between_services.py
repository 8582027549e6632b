"""From service to service on RabbitMQ, with answers by Redis and without, and over two brokers.

Two services are two names of one worker here: what matters is by which ways they can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from django_rpc import errors
from django_rpc.client.session import Session
from django_rpc.graph.delayed.delayed import Delayed, compute
from django_rpc.graph.nodes import ModelSource

from .conftest import run_service


@pytest.fixture(scope="module")
def workers(redis, rabbitmq_url, sqlite_url, prepared):
    """The settings of a worker for each way: by broker and result backend."""
    prepared(sqlite_url)
    ways = {
        "redis": (redis.url, redis.url),
        "rabbitmq and redis": (rabbitmq_url, redis.url),
        "rabbitmq": (rabbitmq_url, "rpc://"),
    }
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(run_service("ways", broker, backend, sqlite_url, redis, concurrency=1))
            for name, (broker, backend) in ways.items()
        }
        yield {name: live.settings for name, live in started.items()}


@pytest.fixture
def customers(workers):
    """``customers(alias, way)``: those of the service ``alias``, which is reached so; and what was sent to it."""

    def of(alias, way):
        return Delayed(ModelSource("shop.Customer", alias, runner=Session(workers[way], alias=alias)))

    return of


def emails(query):
    return query.filter(pk__lte=5).values_list("email", flat=True)


def awaited(value):
    async def work():
        return await value

    return asyncio.run(work())


HOW = pytest.mark.parametrize("how", [lambda one: one.compute(), awaited], ids=["compute", "await"])


@HOW
def test_forwarding_on_rabbitmq_with_redis_answers(customers, how):
    a, b = customers("a", "rabbitmq and redis"), customers("b", "rabbitmq and redis")
    made = b.filter(email__in=emails(a)).count()
    text = made.explain(ask=False)
    assert text.startswith("1 round trip, 2 messages, ")
    assert ": forwarded by that service" in text
    assert how(made) == 5


@HOW
def test_on_rabbitmq_alone_the_client_carries(customers, how):
    a, b = customers("a", "rabbitmq"), customers("b", "rabbitmq")
    made = b.filter(email__in=emails(a)).count()
    text = made.explain(ask=False)
    assert text.startswith("2 round trips, ")
    assert "carried by the client, since answers do not come back by Redis" in text
    assert how(made) == 5


@pytest.mark.parametrize(
    ("giver", "taker", "reason"),
    [
        ("redis", "rabbitmq and redis", "the services have different brokers"),
        ("rabbitmq and redis", "redis", "the services have different brokers"),
        ("rabbitmq and redis", "rabbitmq", "answers do not come back by Redis"),
        ("rabbitmq", "redis", "answers do not come back by Redis"),
    ],
)
def test_different_transports_use_the_client(customers, giver, taker, reason):
    made = customers("b", taker).filter(email__in=emails(customers("a", giver))).count()
    assert f"carried by the client, since {reason}" in made.explain(ask=False)
    assert made.compute() == 5


def test_the_client_carries_in_the_fewest_trips(customers):
    """Two givers at once, on brokers of their own; what the third needs of a fourth beside it does not come here."""
    a, c = customers("a", "redis"), customers("c", "rabbitmq")
    b, d = customers("b", "rabbitmq and redis"), customers("d", "rabbitmq and redis")
    made = b.filter(email__in=emails(a)).filter(email__in=emails(c)).filter(email__in=emails(d)).count()
    plan = made.plan()
    ways = plan.routing()
    assert (len(plan.messages), ways.round_trips, ways.rounds) == (4, 3, 2)
    assert [reason == "" for reason in ways.reasons.values()].count(True) == 1
    assert len(ways.reasons) == 3
    assert made.compute() == 5
    first, second = compute(a.count(), c.count())  # nothing between them
    assert first == second


@pytest.mark.parametrize("way", ["rabbitmq and redis", "rabbitmq"])
def test_failing_stage_has_same_error_on_both_transports(customers, way):
    a, b = customers("a", way), customers("b", way)
    made = b.filter(email=a.get(pk=-1).email).count()
    with pytest.raises(errors.RpcError) as caught:
        made.compute(timeout=20)
    assert type(caught.value).__name__ == "DoesNotExist"
    assert caught.value.rpc_stage == 1
