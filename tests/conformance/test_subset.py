"""A part of Django's own tests, within two minutes, held against the failures that are known.

It is a ratchet: a failure that ``baseline.txt`` does not name fails here, and so does a name in it that passes now.
``python -m tests.conformance --baseline`` writes the file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.__main__ import run_apps
from tests.conformance.apps import SUBSET
from tests.conformance.report import failing
from tests.conformance.source import SourceUnavailable, django_tests

BASELINE = Path(__file__).parent / "baseline.txt"


@pytest.mark.timeout(600)
def test_only_known_failures(required):
    try:
        django_tests()
    except SourceUnavailable as error:
        required(False, f"The package index cannot be reached: {error}")
    apps = run_apps(list(SUBSET))
    assert not [app.broken for app in apps if app.broken]
    found = failing(apps)
    known = {line for line in BASELINE.read_text().splitlines() if line and not line.startswith("#")}
    new = {name: reason for name, reason in found.items() if name not in known}
    assert not new, "These fail and did not: " + "".join(f"\n{name}: {reason}" for name, reason in sorted(new.items()))
    cured = sorted(known - found.keys())
    assert not cured, f"These pass now: write the baseline anew.\n{cured}"
    assert sum(app.counted for app in apps) > 400
