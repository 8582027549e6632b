"""Refuse to send messages to a real service while tests run.

Django gives each test run a test database, and rolls changes back after each test. A service has neither: a message
that a test sends to a real broker reads and changes real rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.core import mail
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections

from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.format import describe
from django_rpc.transport.registry import placed
from django_rpc.wire.names import without_passwords

__all__ = ["RealServiceInTests", "check_sending", "is_test_run"]

#: Key of ``DATABASES[alias]["TEST"]`` that allows tests to use the real service.
ALLOWED = "REAL_SERVICE"


class RealServiceInTests(AssertionError):
    """A test would send a message to a real service, and its settings do not allow this."""


def is_test_run() -> bool:
    """Return True between Django's ``setup_test_environment()`` and ``teardown_test_environment()``.

    pytest-django calls them, too. The outbox is their only documented trace.
    """
    return hasattr(mail, "outbox")


def check_sending(alias: str, outputs: Sequence[Output]) -> None:
    """Raise where a test must not send ``outputs`` to the service ``alias``.

    Canned answers and a service in the process of the test are always allowed. A real service needs
    ``DATABASES[alias]["TEST"] = {"REAL_SERVICE": True}``, and the alias in ``databases`` of the test.

    Raises:
        RealServiceInTests: The settings do not allow the real service.
        AssertionError: Django's, where ``databases`` of the test case does not contain the alias.
    """
    if not is_test_run():
        return
    connection = connections[alias]
    if placed(alias) is not None or connection.session.runs_here:
        return
    if not connection.settings_dict.get("TEST", {}).get(ALLOWED):
        config = connection.session.config
        broker = without_passwords(config.broker_url)
        raise RealServiceInTests(
            f"This test would send a message to the real service {alias!r} ({broker}, queue {config.default_queue!r}): "
            f"{'; '.join(describe(output.node) for output in outputs)}\n"
            "Use django_rpc.test.CannedAnswersMixin or the fixture rpc_answers to give the answers in the test, or "
            "InProcessMixin or the fixture rpc_in_process to run the service in the test's process. "
            f'To allow the real service, set DATABASES[{alias!r}]["TEST"] = {{"{ALLOWED}": True}}. '
            "See docs/howto/testing.md."
        )
    # Django's test cases replace `connect` of each connection that `databases` does not contain by a function that
    # raises; pytest-django replaces `ensure_connection` where a test has no django_db mark.
    try:
        connection.ensure_connection()
        if "connect" in vars(connection):
            connection.connect()
    except SynchronousOnlyOperation:
        pass  # in an event loop: Django's function was called, so no test case has replaced it
