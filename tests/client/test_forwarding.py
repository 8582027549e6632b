"""Values that services forward to each other, and the messages that the client sends and waits for."""

from __future__ import annotations

import pytest

from django_rpc import errors
from django_rpc.client.forwarding import Forwarding, why_not
from django_rpc.client.session import Session
from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.plan.pipeline import plan
from tests.wire.test_signing import PRIVATE, PUBLIC

REDIS = {"BROKER_URL": "redis://127.0.0.1:1/", "RESULT_BACKEND": "redis://127.0.0.1:1/", "TIMEOUT": 1}


def session(alias, **more):
    return Session({**REDIS, "DEFAULT_QUEUE_NAME": alias, **more}, alias=alias)


@pytest.fixture
def services():
    return {alias: session(alias) for alias in "abc"}


@pytest.fixture
def objects(services):
    return lambda alias: Delayed(ModelSource("shop.Order", alias, runner=services[alias]))


def forwarding_of(services, *outputs, **more):
    return Forwarding(plan(outputs), services, **more)


def named(found):
    """The hand-overs by the services of giver and taker."""
    stages = found.plan.stages
    return {
        f"{stages[giver].service}{giver} {stages[taker].service}{taker}": reason
        for (giver, taker), reason in found.reasons.items()
    }


def test_a_chain(services, objects):
    a, b, c = map(objects, "abc")
    found = forwarding_of(services, c.filter(n=b.filter(n=a.count()).count()).count())
    assert named(found) == {"a0 b1": "", "b1 c2": ""}
    assert found.send_rounds() == {0: 1, 1: 1, 2: 1}  # all is sent at once
    assert [found.is_awaited(number) for number in range(3)] == [False, False, True]
    assert [found.back(number) for number in (0, 1)] == [None, None]
    assert sorted(found.silent_before(2)) == [0, 1]
    assert found.routing()[1:] == (1, 1)


def test_a_chord(services, objects):
    a, b, c = map(objects, "abc")
    first, second = a.count(), c.count()
    found = forwarding_of(services, b.filter(n=first, m=second, k=first).count())
    assert named(found) == {"a0 b2": "", "c1 b2": ""}
    assert found.senders(2) == [0, 1]
    assert {key: (one.origin, one.place) for key, one in found.placeholders(2).items()} == {
        (0, 0): (0, 0),
        (1, 0): (1, 0),
    }


def test_forwarded_output_also_reaches_client(services, objects):
    a, b = map(objects, "ab")
    count, rows = a.count(), a.values_list("n", flat=True)
    found = forwarding_of(services, b.filter(n__in=rows).count(), count)
    assert found.is_awaited(0)
    places = found.places(0, 1)
    (back,) = found.back(0)
    assert places == [1 - back]
    assert found.routing()[1:] == (2, 1)


def test_a_local_function_in_between(services, objects):
    """The requested value is returned. The client does not wait for the values of the other service."""
    a, b = map(objects, "ab")
    doubled = delayed(lambda n: 2 * n)(a.count())
    found = forwarding_of(services, b.filter(n__in=a.values_list("n", flat=True), m=doubled).count())
    assert named(found) == {"a0 b2": ""}
    assert found.send_rounds()[2] == 3
    assert found.back(0) == (1 - found.places(0, 2)[0],)


def test_writes_keep_their_order_without_the_client(services, objects):
    """The second message waits for the first without a value of it, and the client gets none."""
    a, b, c = map(objects, "abc")
    first = c.filter(n=a.count()).count()
    found = forwarding_of(services, first, a.create(n=b.count()))
    assert named(found) == {"a0 a2": "", "a0 c3": "", "b1 a2": ""}
    assert (found.places(0, 2), found.senders(2)) == ([], [0, 1])
    assert not found.is_awaited(0)
    only_reads = forwarding_of(services, first, a.filter(n=b.count()).count())
    assert named(only_reads) == {"a0 c3": "", "b1 a2": ""}
    written = a.create(n=1)
    again = forwarding_of(services, a.create(n=b.filter(n=written.n).count()))
    assert named(again) == {"a0 b1": "", "b1 a2": ""}, "a0 has ended when b1 has"


def test_where_the_client_carries(services, objects):
    a, b = session("a"), session("b")
    assert why_not(a, b) == ""
    assert "different brokers" in why_not(a, session("b", BROKER_URL="redis://127.0.0.1:2/"))
    assert "different result backends" in why_not(a, session("b", RESULT_BACKEND="redis://127.0.0.1:2/"))
    assert "do not come back by Redis" in why_not(a, session("b", RESULT_BACKEND="rpc://"))
    assert "evaluated in this process" in why_not(a, session("b", CELERY={"task_always_eager": True}))
    assert "evaluated in this process" in why_not(a, object())
    who = {"CLIENT": "shop", "SERVICE": "a"}
    secret = session("a", KEY="a secret of thirty-two bytes or more", **who)
    assert "signs with a secret" in why_not(secret, b)
    assert why_not(b, secret) == "", "what it is handed needs no key of its own"
    assert why_not(session("a", KEY=PRIVATE, SERVICE_KEY=PUBLIC, **who), b) == ""
    services["b"] = session("b", BROKER_URL="redis://127.0.0.1:2/")
    fed = objects("b").filter(n=objects("a").count()).count()
    assert fed.explain(ask=False).splitlines()[0] == "2 round trips, 5 nodes, 1 output."
    assert "(stage 1): carried by the client, since the services have different brokers" in fed.explain(ask=False)


def test_trace_request_gets_an_answer(services, objects):
    a, b = map(objects, "ab")
    found = forwarding_of(services, b.filter(n=a.count()).count(), wants_answer=lambda number: True)
    assert found.is_awaited(0)
    assert found.back(0) == ()


def test_without_a_broker_nothing_is_sent(objects):
    fed = objects("b").filter(n=objects("a").count()).count()
    with pytest.raises(errors.BrokerUnavailable) as caught:
        fed.compute()
    assert not hasattr(caught.value, "rpc_stage") or caught.value.rpc_stage == 1
