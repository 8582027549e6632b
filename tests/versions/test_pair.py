"""A part of `make versions`: queries by this client, on a worker with the oldest supported Django."""

from __future__ import annotations

import pytest

from tests.versions.environments import EnvironmentUnavailable, environment, own
from tests.versions.known import LEFT_OUT
from tests.versions.runs import ROOT, mirrors

OLDEST = "4.2"
TESTS = ("tests/models/test_parity.py", "tests/models/test_queryset.py")


@pytest.mark.live
@pytest.mark.timeout(400)  # the environment is made where there is none
def test_queries_on_the_oldest_service(required):
    try:
        server = environment(OLDEST)
    except EnvironmentUnavailable as error:
        required(False, str(error))
    result = mirrors(own(), server, tests=TESTS)
    assert result.failed == []
    assert result.server.django.startswith(f"{OLDEST}.")
    assert result.passed > 150
    assert len(result.left_out) < 10, result.left_out


def test_left_out_tests_exist():
    for name in LEFT_OUT:
        path, _, function = name.partition("::")
        assert f"def {function}(" in (ROOT / path).read_text()
