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
from django_rpc.client.execute import Run
from django_rpc.client.hooks import Hook, MessageEnd
from django_rpc.client.session import Session
from django_rpc.graph.format import describe
from django_rpc.telemetry.hooks import Sent
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
        session.hooks.append(_ConnectionHook(alias))
        session.locale = current_locale
        _sessions[alias] = config, session
    return session


class _ConnectionHook(Hook):
    """Hook of a connection: it guards tests, notes writes in ``atomic()``, and logs messages as Django logs queries."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def wants_sql(self) -> bool:
        return bool(connections[self.alias].queries_logged)

    def plan_begins(self, run: Run) -> None:
        check_sending(self.alias, run.outputs)

    def message_begins(self, message: Sent) -> MessageEnd:
        request = message.request
        assert request is not None
        note_end = None if request.asking == "explain" else connections[self.alias].note_writes(request.nodes)
        return self._log if note_end is None else partial(self._end, note_end)

    def _end(self, note_end: MessageEnd, message: Sent) -> None:
        note_end(message)
        self._log(message)

    def _log(self, message: Sent) -> None:
        """Add a message to ``connection.queries_log``, where Django counts queries."""
        if not self.wants_sql:
            return
        record = MessageRecord.of(message)
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
