"""The short form: a small leak of each call is visible after 3,000 calls."""

from __future__ import annotations

import pytest

from tests.soak.run import soak


@pytest.mark.live
def test_many_calls_leave_nothing_behind():
    result = soak(3000)
    print(result.told())
    assert result.calls >= 3000
    assert result.abandoned > 0
    assert result.growth == [], result.told()
