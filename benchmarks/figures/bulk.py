"""1,000 rows of eight fields to model instances, beside the local ORM and beside djangoceleryrpc."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, Skipped, compare, interleave, lane
from benchmarks.peer.install import peer_python, peer_versions
from benchmarks.stack import Stack

__all__ = ["beside_orm", "beside_peer"]

COUNT = 1000


def beside_orm(stack: Stack, effort: Effort) -> Iterator[Row]:
    """On the same SQLite file."""
    with stack.apart() as parts:
        ours, orm = parts.ours(stack.redis, stack.redis), parts.orm()
        _check(ours.show("rows", count=COUNT), orm.show("rows", count=COUNT))
        lanes = {"ours": lane(ours, "rows", count=COUNT), "orm": lane(orm, "rows", count=COUNT)}
        seconds = interleave(lanes, effort.of(rounds=30, block=3, warm_up=3))
    subject = ("1,000 rows of 8 fields", seconds["ours"])
    yield compare("bulk reads", subject, ("the local ORM", seconds["orm"]), goal=2.0, note="to model instances")


def beside_peer(stack: Stack, effort: Effort) -> Iterator[Row]:
    """djangoceleryrpc returns dictionaries, and dates and decimals as text; ours are model instances."""
    python = peer_python()
    try:
        versions = peer_versions(python)
    except OSError as error:
        raise Skipped(f"The environment of djangoceleryrpc is broken: {error}") from error
    with stack.apart() as parts:
        ours, peer = parts.ours(stack.redis, stack.redis), parts.peer()
        _check(ours.show("rows", count=COUNT), peer.show("rows", count=COUNT))
        bulk = {"ours": lane(ours, "rows", count=COUNT), "peer": lane(peer, "rows", count=COUNT)}
        rows = interleave(bulk, effort.of(rounds=30, block=2, warm_up=3))
        one = interleave(
            {"ours": lane(ours, "get"), "peer": lane(peer, "get")}, effort.of(rounds=20, block=5, warm_up=5)
        )
    name = ("djangoceleryrpc 4.0", rows["peer"])
    yield compare("bulk reads", ("1,000 rows of 8 fields", rows["ours"]), name, goal=0.3, note=versions)
    name = ("djangoceleryrpc 4.0", one["peer"])
    yield compare("round trip", ("get of one row", one["ours"]), name, goal=0.5, note=versions)


def _check(ours: object, theirs: object) -> None:
    if not ours == theirs == COUNT:
        raise ValueError(f"{COUNT} rows were asked for; we had {ours}, the reference {theirs}.")
