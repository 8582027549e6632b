"""Celery's remote control of a worker, reduced to commands that read its state or revoke a request.

Each program with access to the broker can send a command. Celery's commands that end the worker, its processes or its
queues are not available: only the operator of the worker does this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from celery.worker import state as worker_state

from django_rpc.celery.rejected_messages import reject

__all__ = ["COMMANDS", "restrict"]

#: Commands that a worker obeys.
COMMANDS = frozenset(
    {"ping", "active", "reserved", "scheduled", "registered", "stats", "query_task", "active_queues", "revoked"}
    | {"revoke", "enable_events", "disable_events", "heartbeat"}
)
_Text = Annotated[str, msgspec.Meta(max_length=255)]
_Texts = Annotated[list[_Text], msgspec.Meta(max_length=100)]


class _ReplyTo(msgspec.Struct):
    exchange: _Text
    routing_key: _Text


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of all commands that a worker obeys; `COMMANDS` names them."""

    task_id: _Text | _Texts | None = None
    ids: _Text | _Texts | None = None
    taskinfoitems: _Texts | None = None
    builtins: bool = False
    safe: bool | None = None
    terminate: bool | None = None
    signal: _Text | None = None


class _ControlCommand(msgspec.Struct, forbid_unknown_fields=True):
    method: _Text
    arguments: _Arguments | None = None
    destination: list[_Text] | None = None
    #: A pattern of worker names, which this worker would match itself: not accepted.
    pattern: None = None
    matcher: None = None
    ticket: _Text | None = None
    reply_to: _ReplyTo | None = None


def restrict(node: Any) -> None:
    """Let a worker's mailbox obey only messages of the schema with an allowed command."""
    node.handlers = {**{name: node.handlers[name] for name in COMMANDS}, "revoke": _revoke}
    node.handle_message = _checked(node, node.handle_message)


def _revoke(state: Any, task_id: str | list[str], **_: Any) -> dict[str, str]:
    """Refuse to begin the requests of these ids.

    Celery's command also queries the result backend about each id, in the worker's main process.
    """
    ids = [task_id] if isinstance(task_id, str) else task_id
    worker_state.revoked.update(ids)
    return {"ok": f"tasks {', '.join(ids)} flagged as revoked"}


def _checked(node: Any, handle: Callable[..., Any]) -> Callable[..., Any]:
    reply_exchange = node.mailbox.reply_exchange.name

    def handle_message(body: Any, message: Any = None) -> Any:
        """Handle a command without its message: only elections among workers, which are disabled, use its clock."""
        try:
            command = msgspec.convert(body, _ControlCommand)
        except msgspec.ValidationError as error:
            return reject(f"it is not a command: {error}")
        if command.method not in COMMANDS or (command.arguments is not None and command.arguments.terminate):
            return reject(f"the command {command.method} is not obeyed")
        if command.reply_to is not None and command.reply_to.exchange != reply_exchange:
            return reject("its reply is for an exchange other than the reply exchange")
        return handle(msgspec.to_builtins(command))

    return handle_message
