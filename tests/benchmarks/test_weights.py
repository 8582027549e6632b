"""The messages of several services weigh in proportion to their number."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.weights import WIDTH, of_celery, ours


def test_chords_in_a_row_weigh_in_proportion_to_their_number():
    weights = [ours(chords)[0] for chords in range(1, 7)]
    print("bytes of 1 to 6 chords of width 4:", *weights)
    steps = [after - before for before, after in itertools.pairwise(weights)]
    assert max(steps) - min(steps) <= 0.02 * max(steps), "each further one adds the same"
    assert weights[5] < 4 * weights[1]
    _, texts = ours(6)
    assert len(texts) == 6 * (WIDTH + 1)
    each = max(map(len, texts))
    assert each == pytest.approx(max(map(len, ours(2)[1])), rel=0.05), "no message grows with what comes after it"


def test_those_of_celery_hold_the_rest_four_times():
    """The comparison is with Celery: a text among the last messages is in each of the first messages."""
    one, six = of_celery(6, "x"), of_celery(6, "x" * 101)
    assert six - one == 100 * (WIDTH + WIDTH * (1 + 5 * (WIDTH + 1)))
