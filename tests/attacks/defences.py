"""The defences, each with how it is taken out: what a test stands for is shown by its failing without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["DEFENCES", "Defence"]


@dataclass(frozen=True)
class Defence:
    """``take_out(monkeypatch)`` leaves the server without it."""

    what: str
    take_out: Callable[[Any], None]


def _names(monkeypatch: Any) -> None:
    from django_rpc.server.policy import Policy

    monkeypatch.setattr(Policy, "blocked", lambda self, names, opts, query=None: None)


def _audit(monkeypatch: Any) -> None:
    from django_rpc.server.audit import AuditedCompiler

    monkeypatch.setattr(AuditedCompiler, "compile", lambda self, node: super(AuditedCompiler, self).compile(node))


DEFENCES: dict[str, Defence] = {
    "names": Defence("names are resolved as if hidden ones were not there", _names),
    "audit": Defence("columns and tables of the compiled query are checked", _audit),
}
