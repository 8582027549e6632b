"""Observation of a test: messages, SQL that did not pass the server, SQL text of the test."""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet, signals
from django.db.models.expressions import RawSQL
from django.db.models.sql import Query
from django.test import testcases
from django.test.utils import CaptureQueriesContext

from tests.conformance.services import SERVICES, fixtures_by_database, local_twins, own_routers, second_service
from tests.conformance.substitution import PREFIX

__all__ = ["Observed", "Observer"]


@dataclass
class Observed:
    """Of one test: ``messages`` to services, ``statements`` on its local databases outside the server's code.

    Both are counted by the database that they are for; a service counts as the one that it has.

    ``leaks`` are those of the statements that Django wrote for a query on a mirror.  ``sql`` says by what the
    test gave SQL text, ``reads_sql`` by what it asked for the SQL of a query.
    """

    messages: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    sql: set[str] = field(default_factory=set)
    reads_sql: set[str] = field(default_factory=set)


class Observer:
    """Watches this process; ``now`` is the record of the test that runs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.now = Observed()
        self.models: set[Any] = set()
        self._in_server = 0

    def install(self, models: list[Any]) -> None:
        """Start to watch.  ``models`` are those of the second import."""
        for model in models:
            if not model._meta.abstract:
                self.models.add(model)
                self.models |= {many.remote_field.through for many in model._meta.local_many_to_many}
        for alias in ("default", "other"):
            connections[alias].execute_wrappers.append(self._statement)
        self._watch_sql_text()
        if self.kind == "mirror":
            self._watch_messages()
            self._count_messages_as_queries()
            _leave_out_savepoints()

    # Messages

    def _watch_messages(self) -> None:
        from django_rpc.backend.base import DatabaseWrapper
        from django_rpc.client.hooks import MessageListener
        from django_rpc.server import handler
        from django_rpc.transport.registry import put_in_place

        # Django's test cases forbid all aliases that they do not name, and none of them names a service.
        DatabaseWrapper.ensure_connection = DatabaseWrapper.ensure_connection
        for database, alias in SERVICES.items():
            connections[alias].ensure_connection()
            connections[alias].session.hooks.append(MessageListener(functools.partial(self._message, database)))
        refuse = testcases._DatabaseFailure.__call__  # type: ignore[attr-defined]

        def refuse_others(failure: Any, *args: Any, **kwargs: Any) -> Any:
            if failure.wrapped.__self__.alias in SERVICES.values():
                return failure.wrapped(*args, **kwargs)
            return refuse(failure)

        testcases._DatabaseFailure.__call__ = refuse_others  # type: ignore[attr-defined]
        local_twins()
        fixtures_by_database()
        self._second = put_in_place(SERVICES["other"], second_service())
        self._second.__enter__()  # for good
        serve = handler.serve

        routers = own_routers()
        servers = [(signal, _of_server(signal)) for signal in _SIGNALS]

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._in_server += 1
            try:
                with contextlib.ExitStack() as stack:
                    stack.enter_context(_all_apps())
                    stack.enter_context(routers())
                    for signal, receivers in servers:
                        stack.enter_context(_receivers(signal, receivers))
                    return serve(*args, **kwargs)
            finally:
                self._in_server -= 1

        handler.serve = watched

    def _message(self, database: str, record: Any) -> None:
        self.now.messages[database] += 1

    # SQL

    def _statement(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if not self._in_server:
            self.now.statements[context["connection"].alias] += 1
            if self.kind == "mirror" and _model_of_statement() in self.models:
                self.now.leaks.append(str(sql)[:200])
        if _called_by_test():
            self.now.sql.add("cursor().execute()")
        return execute(sql, params, many, context)

    def _watch_sql_text(self) -> None:
        classes = [QuerySet]
        if self.kind == "mirror":
            from django_rpc.models import RpcQuerySet

            classes.append(RpcQuerySet)
        for cls in classes:
            self._watch(cls, "extra", "extra()", "sql")
            self._watch(cls, "raw", "raw()", "sql")
        self._watch(RawSQL, "__init__", "RawSQL()", "sql")
        self._watch(Query, "__str__", "str(query)", "reads_sql")
        self._watch(CaptureQueriesContext, "__getitem__", "captured queries", "reads_sql")
        self._watch(CaptureQueriesContext, "__iter__", "captured queries", "reads_sql")

    def _watch(self, cls: Any, name: str, label: str, kind: str) -> None:
        original = cls.__dict__[name]
        observer = self

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            # Django's own many-to-many prefetch calls extra(), which makes a RawSQL.
            select = kwargs.get("select") if name == "extra" else None
            by_prefetch = select and all(str(key).startswith("_prefetch_related_val_") for key in select)
            by_extra = name == "__init__" and sys._getframe(1).f_code.co_name == "add_extra"
            if not (by_prefetch or by_extra or observer._in_server):
                getattr(observer.now, kind).add(label)
            return original(self, *args, **kwargs)

        watched.__dict__.update(getattr(original, "__dict__", {}))
        setattr(cls, name, watched)

    # assertNumQueries

    def _count_messages_as_queries(self) -> None:
        """``assertNumQueries(n)``: at most n messages and local statements together.

        Django's n counts statements, savepoints among them; a message may stand for several.
        """
        observer = self

        def asked(alias: str) -> int:
            database = next((name for name, service in SERVICES.items() if service == alias), alias)
            return observer.now.messages[database] + observer.now.statements[database]

        class Context(testcases._AssertNumQueriesContext):  # type: ignore[name-defined]
            def __enter__(self) -> Any:
                self.before = asked(self.connection.alias)
                return super().__enter__()

            def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
                if self.connection.alias not in (DEFAULT_DB_ALIAS, *SERVICES.values()):
                    super().__exit__(exc_type, exc_value, traceback)
                    return
                CaptureQueriesContext.__exit__(self, exc_type, exc_value, traceback)
                if exc_type is not None:
                    return
                sent = asked(self.connection.alias) - self.before
                message = f"{sent} messages and local statements, where Django itself needs {self.num} queries."
                self.test_case.assertTrue(sent <= self.num, message)  # noqa: PT009

        testcases._AssertNumQueriesContext = Context  # type: ignore[attr-defined]


def _leave_out_savepoints() -> None:
    """The transaction of a request is a savepoint in the test's transaction: in a server's process BEGIN, which is no
    query.
    """
    captured = CaptureQueriesContext.captured_queries

    def without(self: Any) -> list[Any]:
        queries = captured.fget(self)  # type: ignore[attr-defined]
        return [query for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE SAVEPOINT"))]

    CaptureQueriesContext.captured_queries = property(without)  # type: ignore[assignment]


#: Signals that a test may connect to for its models.
_SIGNALS = (signals.pre_init, signals.post_init, signals.pre_save, signals.post_save, signals.pre_delete)
_SIGNALS += (signals.post_delete, signals.m2m_changed)


def _of_server(signal: Any) -> list[Any]:
    """The receivers that a server's process would have: all that are connected by now, but for the mirrors'."""
    kept = []
    for receiver in signal.receivers:
        function = receiver[1]() if isinstance(receiver[1], weakref.ref) else receiver[1]
        if not getattr(function, "__module__", "").startswith(PREFIX):
            kept.append(receiver)
    return kept


@contextlib.contextmanager
def _all_apps() -> Iterator[None]:
    """A server is another process: what a test's ``available_apps`` takes away is there."""
    before = apps.app_configs
    if not apps.stored_app_configs:
        yield
        return
    apps.app_configs = apps.stored_app_configs[0]
    apps.clear_cache()
    try:
        yield
    finally:
        apps.app_configs = before
        apps.clear_cache()


@contextlib.contextmanager
def _receivers(signal: Any, receivers: list[Any]) -> Iterator[None]:
    """A server is another process: it does not call the receivers of the client's."""
    before, signal.receivers = signal.receivers, receivers
    signal.sender_receivers_cache.clear()
    try:
        yield
    finally:
        signal.receivers = before
        signal.sender_receivers_cache.clear()


def _model_of_statement() -> Any:
    """The model whose query a compiler of Django executes; None where no compiler does."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "") == "django.db.models.sql.compiler":
            return frame.f_locals["self"].query.model if "self" in frame.f_locals else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _called_by_test() -> bool:
    """Return True if the test itself called ``cursor.execute()``."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "") in (
        "django.db.backends.utils",
        "contextlib",
        "tests.conformance.observe",
    ):
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and frame.f_globals.get("__name__", "").startswith(PREFIX)
