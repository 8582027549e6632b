"""Sessions of a process: a single session for each alias."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from django_rpc.backend import sessions

SETTINGS = {"BROKER_URL": "redis://localhost/", "RESULT_BACKEND": "redis://localhost/"}


def test_threads_share_the_session(monkeypatch):
    monkeypatch.setattr(sessions, "_sessions", {})
    made, barrier = [], threading.Barrier(8)

    class SlowSession(sessions.Session):
        def __init__(self, *args, **kwargs):
            made.append(self)
            threading.Event().wait(0.05)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(sessions, "Session", SlowSession)

    def get(_):
        barrier.wait(10)
        return sessions.session_for("rpc", SETTINGS)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(get, range(8)))
    assert len(made) == 1
    assert all(session is made[0] for session in found)
