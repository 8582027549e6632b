"""Helpers for the tests of projects with mirrors: docs/howto/testing.md.

Names are imported at their first use, because pytest imports this package, as the package of a plugin, before Django
is set up.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_rpc.test.answers import Answers, UnansweredMessage, canned_answers
    from django_rpc.test.cases import CannedAnswersMixin, InProcessMixin
    from django_rpc.test.messages import Message, assert_num_messages, capture_messages
    from django_rpc.test.service import in_process

_MODULES = {
    "answers": ("Answers", "UnansweredMessage", "canned_answers"),
    "cases": ("CannedAnswersMixin", "InProcessMixin"),
    "messages": ("Message", "assert_num_messages", "capture_messages"),
    "service": ("in_process",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Answers",
    "CannedAnswersMixin",
    "InProcessMixin",
    "Message",
    "UnansweredMessage",
    "assert_num_messages",
    "canned_answers",
    "capture_messages",
    "in_process",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"django_rpc.test.{_HOME[name]}"), name)
    raise AttributeError(f"module 'django_rpc.test' has no attribute {name!r}")
