"""Values that wait in Redis for other services: the permitted requests, their number, and their lifetime."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from redis import Redis

from django_rpc.celery.reply_list import ReplyLists
from django_rpc.errors import HandOverFailed
from django_rpc.wire.names import DEPOSIT, ORIGINS, given_key, parked_key


@pytest.fixture
def store(redis):
    with Redis.from_url(redis.url) as client:
        yield client


@pytest.fixture
def lists(redis):
    return ReplyLists(redis.url)


@pytest.fixture
def message(store):
    """Return the id of a message that waits for the requests a and b."""
    name = uuid.uuid4().hex
    park(store, name)
    return name


def park(store, name, *origins):
    fields = {DEPOSIT: b"the message", ORIGINS: msgspec.json.encode(origins or ("a", "b"))}
    store.hset(given_key(name), mapping=fields)


def test_the_last_values_release_the_message(lists, store, message):
    assert lists.put(message, "a", b"1", 600) is None
    assert lists.put(message, "a", b"1", 600) is None  # delivered again
    assert lists.put(message, "b", b"2", 600) == b"the message"
    assert lists.put(message, "b", b"2", 600) is None
    assert store.hkeys(given_key(message)) == [b"a", b"b"]


def test_values_of_a_request_that_the_message_does_not_wait_for(lists, store, message):
    """A client that knows the id of a waiting message can name it in a request to another service."""
    lists.put(message, "a", b"1", 600)
    for _ in range(2):
        with pytest.raises(HandOverFailed, match="does not wait"):
            lists.put(message, "of-another", b"x" * 1000, 600)
    assert set(store.hkeys(given_key(message))) == {DEPOSIT.encode(), ORIGINS.encode(), b"a"}
    assert lists.put(message, "b", b"2", 600) == b"the message"


def test_the_first_values_stay(lists, message):
    lists.put(message, "a", b"first", 600)
    lists.put(message, "a", b"second", 600)
    assert lists.given(message, ["a"]) == {"a": b"first"}


def test_values_that_arrive_before_their_message(lists, store):
    name = uuid.uuid4().hex
    assert lists.put(name, "a", b"1", 600) is None
    assert lists.put(name, "of-another", b"x", 600) is None
    park(store, name)
    assert lists.put(name, "b", b"2", 600) == b"the message"


def test_values_of_other_requests_are_not_read(lists, store, message):
    store.hset(given_key(message), "of-another", "x" * 1000)
    store.hset(given_key(message), "a", "1")
    assert lists.given(message, ["a", "b"]) == {"a": b"1"}


@pytest.mark.parametrize("origins", [b"{", b"5", b'["a", 5]', b"\xff", b"null"])
def test_forged_list_of_requests(lists, store, message, origins):
    store.hset(given_key(message), ORIGINS, origins)
    with pytest.raises(HandOverFailed):
        lists.put(message, "a", b"1", 600)


def test_a_client_parks_no_more_than_its_limits(lists, store):
    parked = parked_key("stock", uuid.uuid4().hex)
    names = [uuid.uuid4().hex for _ in range(4)]
    for name in names:
        park(store, name)
    for name in names[:3]:
        lists.reserve(parked, {name: 10}, 600, (3, 1000))
    with pytest.raises(HandOverFailed, match="parked_messages"):
        lists.reserve(parked, {names[3]: 10}, 600, (3, 1000))
    with pytest.raises(HandOverFailed, match="parked_bytes"):
        lists.reserve(parked, {names[3]: 980}, 600, (30, 1000))
    assert store.zcard(parked) == 3
    assert 0 < store.ttl(parked) <= 600
    lists.forget(names[0])  # it has been answered
    lists.reserve(parked, {names[3]: 10}, 600, (3, 1000))
    assert store.zcard(parked) == 3


def test_values_that_have_expired_do_not_count(lists, store):
    parked = parked_key("stock", uuid.uuid4().hex)
    park(store, name := uuid.uuid4().hex)
    store.zadd(parked, {f"x 10 {name}": 1})
    lists.reserve(parked, {name: 10}, 600, (1, 1000))
    assert store.zcard(parked) == 1
