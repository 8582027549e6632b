"""Sessions of this process. Each alias in DATABASES has one session."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import connections

from django_rpc.backend.django_compat import sql_logger
from django_rpc.backend.locale import current_locale
from django_rpc.backend.test_guard import check_sending
from django_rpc.client.call_record import MessageRecord
from django_rpc.client.session import Session
from django_rpc.graph.format import describe
from django_rpc.transport.config import Config
from django_rpc.transport.fork_safety import NO_FORK

__all__ = ["session_for"]

_sessions: dict[str, tuple[Config, Session]] = {}


def session_for(alias: str, settings: Mapping[str, Any]) -> Session:
    """Return the session of ``alias``, which is a new session after its settings have changed (tests change them)."""
    config = Config.from_dict(settings, alias)
    cached = _sessions.get(alias)
    if cached is not None and cached[0] == config:
        return cached[1]
    with NO_FORK:
        cached = _sessions.get(alias)
        if cached is not None and cached[0] == config:  # another thread made it
            return cached[1]
        from django_rpc.models.instances import MirrorResults

        session = Session(config, MirrorResults(alias), alias=alias)
        session.listeners.append(_Log(alias))
        session.locale = current_locale
        session.note_writes = lambda nodes: connections[alias].note_writes(nodes)
        session.check_sending = partial(check_sending, alias)
        _sessions[alias] = config, session
    return session


class _Log:
    """Listener that adds each message to ``connection.queries_log``, where Django counts queries."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def active(self) -> bool:
        return bool(connections[self.alias].queries_logged)

    def __call__(self, record: MessageRecord) -> None:
        text = "; ".join(describe(record.nodes[index]) for index in record.outputs)
        connections[self.alias].queries_log.append(
            {
                "sql": text,
                "time": f"{record.seconds:.3f}",
                "request_id": record.request_id,
                "statements": [entry.sql for entry in record.trace],
            }
        )
        sql_logger.debug("(%.3f) %s", record.seconds, text, extra={"duration": record.seconds, "alias": self.alias})
