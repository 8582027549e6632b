"""Values with equal hashes, and the clock while a message is decoded: sets and dicts take n² comparisons for them."""

from __future__ import annotations

import uuid

import pytest

from django_rpc.demo.server.shop.models import Customer
from django_rpc.errors import BadValue
from django_rpc.server.core import budget
from django_rpc.wire.codec import decode_request
from django_rpc.wire.hashes import Hashes

from .conftest import method, written

PRIME = 2**61 - 1  # the hash of an integer is its remainder
CUSTOMERS = ["source", "shop.Customer"]
COUNT = 3_000
INTEGERS = [{"$int": str(k * PRIME)} for k in range(1, COUNT)]
UUIDS = [{"$uuid": str(uuid.UUID(int=k * PRIME + 7))} for k in range(1, COUNT)]
DECIMALS = [{"$decimal": f"{k * PRIME}.0"} for k in range(1, COUNT)]
TUPLES = [{"$tuple": [{"$int": str(k * PRIME)}, 1]} for k in range(1, COUNT)]
POWERS = [{"$decimal": f"{k * PRIME}E-3"} for k in range(1, COUNT)]
MIXED = [values[k] for k in range(COUNT - 1) for values in (INTEGERS, DECIMALS)]


def crafted_tuples():
    """Return pairs of 64-bit integers with one hash: the second undoes the difference of the first."""
    one, two, five, size = 11400714785074694791, 14029467366897019727, 2870177450012600261, 2**64

    def mixed(seed, lane):
        seed = (seed + lane * two) % size
        return ((seed << 31 | seed >> 33) % size) * one % size

    wanted, inverse, pairs = mixed(mixed(five, 1), 1), pow(two, -1, size), []
    rotated = wanted * pow(one, -1, size) % size
    before = (rotated >> 31 | rotated << 33) % size
    first = 2
    while len(pairs) < 300:
        second = (before - mixed(five, first)) * inverse % size
        if second < PRIME:
            pairs.append((first, second))
        first += 1
    return pairs


PAIRS = [{"$tuple": list(pair)} for pair in crafted_tuples()]
VALUES = {
    **{"integers": INTEGERS, "uuids": UUIDS, "decimals": DECIMALS, "tuples": TUPLES, "powers": POWERS, "pairs": PAIRS},
    "mixed": MIXED,
}
HOLDERS = {
    "set": lambda values: {"$set": values},
    "frozenset": lambda values: {"$frozenset": values},
    "keys": lambda values: {"$dict": [[value, 1] for value in values]},
    "list": lambda values: values,  # Django makes a set of it
    "tuple": lambda values: {"$tuple": values},
    "sets": lambda values: [{"$set": values[start : start + 50]} for start in range(0, len(values), 50)],
}


def test_colliding_pairs_have_equal_hash():
    assert len({hash(pair) for pair in crafted_tuples()}) == 1


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("values", VALUES)
def test_values_of_equal_hash(send, values, holder):
    answered = send([CUSTOMERS, method(0, "filter", pk__in=HOLDERS[holder](VALUES[values])), method(1, "count")])
    assert answered.code == "BadValue"
    assert "hash" in answered.message
    assert answered.statements == []


@pytest.mark.parametrize("kind", ["uuid", "decimal"])
def test_columns_of_equal_hash(kind):
    cells = [[value[f"${kind}"]] for value in {"uuid": UUIDS, "decimal": DECIMALS}[kind]]
    with pytest.raises(BadValue, match="hash"):
        decode_request(written([["literal", {"$rows": [["x"], [kind], cells]}]]))


@pytest.mark.parametrize("kind", ["uuid", "decimal"])
def test_insert_columns_of_equal_hash(kind):
    """A foreign key to a unique column is compared with the other rows in a set."""
    cells = [[value[f"${kind}"]] for value in {"uuid": UUIDS, "decimal": DECIMALS}[kind]]
    with pytest.raises(BadValue, match="hash"):
        decode_request(written([["insert", "shop.Customer", ["name"], [kind], cells, {}]]))


def test_integers_of_a_column_have_64_bits():
    with pytest.raises(BadValue, match="64 bits"):
        decode_request(written([["literal", {"$rows": [["x"], ["int"], [[2**64]]]}]]))


def test_equal_and_usual_values_are_taken(send, shop_data):
    several = [*range(-5, 5000), *[{"$decimal": "1.00"}] * 500, *[{"$uuid": str(uuid.UUID(int=7))}] * 500]
    several += [{"$tuple": [k, k + 1]} for k in range(2000)] + [{"$int": str(10**30 + k)} for k in range(2000)]
    nodes = [["literal", {"$set": several}], ["fold", "len", 0]]
    assert send(nodes).output == 5005 + 1 + 2000 + 2000
    assert send([CUSTOMERS, method(0, "count")]).output == Customer.objects.count()


@pytest.mark.parametrize(
    "value",
    [
        *({"$set": list(range(50_000))}, {"$dict": [[k, k] for k in range(50_000)]}, list(range(50_000))),
        *([{"$tuple": [k]} for k in range(20_000)], [{"$decimal": "1"}] * 20_000, [[1, 2, 3]] * 20_000),
    ],
    ids=["set", "dict", "list", "tuples", "decimals", "lists"],
)
def test_the_clock_runs_while_a_message_is_decoded(send, monkeypatch, value):
    """With a clock that advances an hour at each read: decoding reads the clock, or the value would be accepted."""
    looks = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(budget.time, "monotonic", lambda: next(looks))
    data = written([["literal", value]])
    with pytest.raises(budget.LimitExceeded, match="seconds"):
        decode_request(data, check=budget.Budget().check)


def test_members_are_looked_at_in_batches():
    calls = []
    Hashes(lambda: calls.append(1)).add(range(10_000))
    assert len(calls) >= 30
