"""The short form: what leaks a little with each call shows in 3,000 of them."""

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
