"""The short form of a storm; ``make chaos`` runs the long form."""

from __future__ import annotations

import pytest

from tests.chaos.run import storm
from tests.chaos.scene import Plan
from tests.chaos.servers import Missing


@pytest.mark.live
@pytest.mark.timeout(300)
def test_the_books_balance_after_a_storm(required):
    try:
        outcome = storm(Plan(clocks=(0.0, 2.0)), seconds=10)
    except Missing as reason:
        required(False, str(reason))
    print(outcome.told())
    assert outcome.wrong == [], outcome.told()
    assert outcome.books.by_state["done"] > 20
    assert len(outcome.happened) >= 6
