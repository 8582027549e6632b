"""What the messages of several services in a row weigh."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare
from benchmarks.stack import Stack
from benchmarks.weights import WIDTH, of_celery, ours

__all__ = ["canvas"]

CHORDS = 6


def canvas(stack: Stack, effort: Effort) -> Iterator[Row]:
    """1 to 6 chords of width 4: all our messages beside what one and two grow to, and beside Celery's first ones."""
    one, two = ours(1)[0], ours(2)[0]
    for chords in range(1, CHORDS + 1):
        weight, texts = ours(chords)
        subject = (f"{chords} chords of width {WIDTH}", [weight])
        more = {"unit": "bytes", "note": "all messages, those that wait counted twice"}
        yield compare(
            "canvas", subject, ("one, and as much for each more", [one + (chords - 1) * (two - one)]), goal=1.02, **more
        )
        text = "x" * (sum(map(len, texts)) // len(texts))
        celery = of_celery(chords, text)
        yield compare("canvas", subject, ("Celery's own, the first messages alone", [celery]), **more)
