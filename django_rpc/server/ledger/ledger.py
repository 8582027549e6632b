"""The ledger: a request that writes is executed once, even if its message is delivered several times.

    first statement -> insert the entry, in the same transaction -> writes -> keep the reply -> commit
                         entry exists: Duplicate -> roll back, return the reply in the ledger
    error           -> refuse: the refusal is stored in the same way, so a later delivery is not executed

The entry is inserted before the writes. A second delivery waits for the first at the database's unique index, until
the first transaction ends. After a commit, the second delivery finds the reply. After a rollback, it is executed.
docs/reliability.md lists the guarantees and their conditions.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connections, router, transaction
from django.utils import timezone

from django_rpc.errors import (
    LedgerError,
    MessageTooLarge,
    NoLedger,
    OutcomeUnknown,
    PartlyDone,
    RequestConflict,
    ResponseTooLarge,
    WireError,
    Withdrawn,
)
from django_rpc.server.conf import settings
from django_rpc.server.core import rate_limit
from django_rpc.server.core.limits import Allowance, exceeded
from django_rpc.server.errors.public import public_error
from django_rpc.server.locale import naive_zone
from django_rpc.wire.codec import encode_response, request_content
from django_rpc.wire.messages import ErrorReport, Request, Response

if TYPE_CHECKING:
    from django_rpc.server.models import LedgerEntry

__all__ = [
    "APP",
    "Duplicate",
    "Entry",
    "became_of",
    "entry_for",
    "installed",
    "kept_in",
    "labels_of_tables",
    "look_up",
    "sendable",
    "withdraw",
]

logger = logging.getLogger("django_rpc.server")

#: Entry that a service adds to INSTALLED_APPS.
APP = "django_rpc.server"
#: Seconds before each new attempt to store a refusal; None ends the attempts.
_PAUSES = (0.0, 0.01, 0.05, 0.2, None)
_MODEL = "django_rpc_server.LedgerEntry"


class Duplicate(Exception):
    """The ledger has an entry of this request already: the current transaction must be rolled back."""


class StoredOutcome(NamedTuple):
    """Outcome of a request in the ledger: the state, which may be "partly", and the first reply."""

    state: str
    answer: bytes
    digest: str
    at: Any


def installed() -> bool:
    """Return True if the app of the ledger is installed."""
    return apps.is_installed(APP)


def kept_in(aliases: Iterable[str] | None = None) -> list[str]:
    """Return those of the databases (by default, of all) that have a ledger, in the order of their entries."""
    if not installed():
        return []
    candidates = sorted(connections if aliases is None else aliases)
    return [
        alias
        for alias in candidates
        if connections[alias].vendor != "rpc" and router.allow_migrate_model(alias, apps.get_model(_MODEL))
    ]


def labels_of_tables() -> dict[str, str]:
    """Return the labels of all models by table, for counts of written rows; empty for the ledger's table."""
    options = [model._meta for model in apps.get_models(include_auto_created=True)]
    return {opts.db_table: "" if opts.app_config.name == APP else opts.label for opts in options}


def entry_for(message: bytes, request: Request, *, again: bool = False, handed: bytes = b"") -> Entry | None:
    """Return the entry of a request that writes; None for a request that only reads, which may run again.

    ``again`` is True if another worker may have started the message. Without a ledger that knows the outcome, such a
    request is not executed. ``handed`` are the forwarded values of other services, which are not in the message.
    """
    if request.asking != "explain" and any(node.writes for node in request.nodes):
        return Entry(message, request, again, handed)
    return None


def sendable(response: Response, limits: Allowance) -> bytes:
    """Return the encoded reply; raises TypeError for a value that cannot be encoded, or ResponseTooLarge."""
    try:
        return encode_response(response, limits.of_response, naive_zone())
    except MessageTooLarge as error:
        raise exceeded(ResponseTooLarge, limits.response_bytes) from error
    except (WireError, RecursionError) as error:
        raise TypeError(f"The answer cannot be sent: {error}") from error


class Entry:
    """One delivery of a request that writes, and its entry in the ledger.

    ``answer`` is the stored reply, if this delivery executed the request.
    """

    def __init__(self, message: bytes, request: Request, again: bool = False, handed: bytes = b"") -> None:
        self.request = request
        self.again = again
        self.answer: bytes | None = None
        self.duplicate = False
        self._message = message
        self._handed = handed
        self._claimed = False
        self._held: dict[tuple[str, str], str] = {}
        self._client = ""
        self._digest = ""
        self._databases: list[str] = []

    def place(self, databases: list[str], client: str) -> None:
        """Set the databases that the request writes to, and its client; called before the transactions begin.

        If one of the databases has no ledger, raises NoLedger for a request that requires it (`Request.once`), and
        OutcomeUnknown for a request that was delivered before.
        """
        self._client = client
        self._databases = kept_in(databases)
        if len(self._databases) == len(databases):
            return
        if self.request.once:
            raise public_error(
                NoLedger(
                    "The request requires exactly one execution, and the service keeps no ledger of executed "
                    f"requests: add {APP!r} to its INSTALLED_APPS and run migrate, or send it without once()."
                )
            )
        if self.again:
            raise public_error(
                OutcomeUnknown(
                    "The worker that had this request before has died, or has lost the broker. The service does not "
                    f"know if it wrote anything, so it is not done again. With {APP!r} in INSTALLED_APPS it would know."
                )
            )

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Make the entry before the first statement inside the transactions.

        So a request that is refused by its arguments alone runs no SQL. Code of the service may have other effects
        than SQL, so `make` is called before such code.
        """
        with ExitStack() as stack:
            for alias in self._databases:
                stack.enter_context(connections[alias].execute_wrapper(self._before))
            yield

    def _before(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not self._claimed:
            if self._holds(str(sql), context["connection"].alias):
                return None
            self.make()
        return execute(sql, params, many, context)

    def _holds(self, sql: str, alias: str) -> bool:
        """Hold back a savepoint until a statement follows: the entry must be outside of the savepoint."""
        name = (alias, sql.rpartition(" ")[2])
        if sql.startswith("SAVEPOINT "):
            self._held[name] = sql
        elif sql.startswith("RELEASE ") and name in self._held:
            del self._held[name]
        elif not (sql.startswith("ROLLBACK TO ") and name in self._held):
            return False
        return True

    def make(self) -> None:
        """Insert the entry if it is not inserted yet; raises Duplicate if the ledger has it already."""
        if self._claimed:
            return
        self._claimed = True  # set before the inserts, since they run through `_before`, too
        try:
            for alias in self._databases:
                self._insert(alias, "open", b"")
        except Duplicate:
            self.duplicate = True
            raise
        for (alias, _), sql in self._held.items():
            with connections[alias].cursor() as cursor:
                cursor.execute(sql)

    def keep(self, outputs: tuple[Any, ...], limits: Allowance) -> None:
        """Store the reply in the transaction of the writes.

        Raises TypeError or ResponseTooLarge if it cannot be sent, and Duplicate if there is an entry already.
        """
        self.check()
        self.answer = sendable(Response(id=self.request.id, outputs=outputs), limits)
        for alias in self._databases if self._claimed else ():
            entry = apps.get_model(_MODEL)._default_manager.using(alias).filter(pk=self._key)
            entry.update(state="done", answer=self.answer)

    def check(self) -> None:
        """Raise Duplicate if the ledger had an entry, also if the service's code caught the first Duplicate."""
        if self.duplicate:
            raise Duplicate(self.request.id)

    def refuse(self, response: Response, error: BaseException | None) -> bytes | None:
        """Record that the request was refused and rolled back, so that no later delivery is executed.

        Returns None after that, and for a request that was refused by its arguments alone, since each delivery will be.
        Otherwise returns the reply to send instead: another delivery was faster, or the outcome of a later delivery is
        unknown.
        """
        if not self._claimed and not isinstance(error, DatabaseError | InterfaceError):
            return None
        if any(connections[alias].needs_rollback for alias in self._databases):
            return None  # inside a transaction of the caller (eager mode) that will be rolled back
        try:
            for alias in self._databases:
                self._insert_alone(alias, "refused", encode_response(response, naive_zone=naive_zone()))
        except Duplicate:
            return self.first()
        except (DatabaseError, InterfaceError) as failed:
            return self._unknown(failed)
        return None

    def earlier(self, client: str) -> bytes | None:
        """Return the ledger's reply to a message that arrived too late; None if no earlier delivery was in time."""
        self._client, self._databases = client, kept_in()
        self._digest = self._digest_of_message()
        try:
            outcome = look_up(client, self.request.id, self._databases)
        except (DatabaseError, InterfaceError) as error:
            return self._unknown(error)
        return None if outcome is None else self._answer_of(outcome)

    def first(self) -> bytes:
        """Return the reply that the ledger stores for this request."""
        try:
            outcome = look_up(self._client, self.request.id, self._databases)
        except (DatabaseError, InterfaceError) as error:
            return self._unknown(error)
        if outcome is None:
            return self._encoded(OutcomeUnknown("The entry of this request was there and is gone: it has been pruned."))
        return self._answer_of(outcome)

    def _answer_of(self, stored: StoredOutcome) -> bytes:
        if stored.digest and stored.digest != self._digest:
            logger.warning("An id was used for two requests", extra={"rpc_request": self.request.id})
            return self._encoded(
                RequestConflict(
                    f"The id {self.request.id!r} has been used for another request. Send the same request to have its "
                    "first answer again, or use another id."
                )
            )
        if stored.state == "partly":
            return self._encoded(_partly())
        return stored.answer

    def _digest_of_message(self) -> str:
        return hashlib.sha256(request_content(self._message) + self._handed).hexdigest()

    @property
    def _key(self) -> str:
        return _key(self._client, self.request.id)

    def _insert_alone(self, alias: str, state: str, answer: bytes) -> None:
        """Insert the entry in a transaction without other statements, so that it can be repeated.

        MariaDB ends one of several deliveries that wait for the same key with a deadlock.
        """
        for pause in _PAUSES:
            try:
                with transaction.atomic(using=alias):
                    self._insert(alias, state, answer)
                return
            except OperationalError:
                if pause is None:
                    raise
                time.sleep(pause)

    def _insert(self, alias: str, state: str, answer: bytes) -> None:
        self._digest = self._digest or self._digest_of_message()
        _insert(alias, self._client, self.request.id, self._digest, self._databases, state, answer)

    def _unknown(self, error: Exception) -> bytes:
        logger.exception("The ledger could not be written or read", extra={"rpc_request": self.request.id})
        missing = [alias for alias in self._databases if not _has_table(alias)]
        if missing:
            return self._encoded(
                NoLedger(f"The ledger's table is missing at the service: migrate --database {missing[0]} makes it.")
            )
        return self._encoded(
            OutcomeUnknown(
                "The service's database failed. It is not known if the request was executed, or will be when its "
                f"message is delivered again: call outcome({self.request.id!r}) later."
            )
        )

    def _encoded(self, error: LedgerError) -> bytes:
        report = ErrorReport(code=error.code, message=str(error))
        return encode_response(Response(id=self.request.id, error=report))


def look_up(client: str, request_id: str, databases: Iterable[str] | None = None) -> StoredOutcome | None:
    """Return the outcome of a request of ``client``; None without an entry in the databases (by default, in any)."""
    model = apps.get_model(_MODEL)
    entries: dict[str, LedgerEntry] = {}
    for alias in kept_in() if databases is None else databases:
        entry = model._default_manager.using(alias).filter(pk=_key(client, request_id)).first()
        if entry is not None:
            entries[alias] = entry
    if not entries:
        return None
    done = {alias: entry for alias, entry in entries.items() if entry.state == "done"}
    shown = next(iter((done or entries).values()))
    state = shown.state
    if done and not done.keys() >= set(shown.databases.split(",")):
        state = "partly"  # a process or a database failed between two commits
    return StoredOutcome(state, bytes(shown.answer), shown.digest, shown.at)


def became_of(client: str, request_id: str, *, settle: bool, limits: Allowance) -> dict[str, Any]:
    """Return the value of an `RequestOutcome` node; raises NoLedger, and TooManyRequests for too many new entries."""
    if not installed():
        raise public_error(
            NoLedger(f"The service keeps no ledger of requests: add {APP!r} to its INSTALLED_APPS and migrate.")
        )
    outcome = look_up(client, request_id)
    if settle and outcome is None:  # the entry of a running request is not visible yet: `withdraw` waits for it
        rate_limit.count(client, limits, lambda: settings.cache, "withdrawals")
        withdraw(client, request_id)
        outcome = look_up(client, request_id)
    if outcome is None:
        return {"state": "unknown"}
    return {"state": outcome.state, "at": outcome.at, "answer": outcome.answer.decode()}


def withdraw(client: str, request_id: str) -> None:
    """Make sure that a request will not be executed, if it was not yet; waits for a request that is running."""
    report = ErrorReport(code=Withdrawn.code, message="The request was withdrawn before it was done.")
    answer = encode_response(Response(id=request_id, error=report))
    databases = kept_in()
    try:
        with ExitStack() as stack:
            for alias in databases:
                stack.enter_context(transaction.atomic(using=alias))
                _insert(alias, client, request_id, "", databases, "withdrawn", answer)
    except Duplicate:
        return  # the request has its reply already, or was withdrawn before


def _partly() -> PartlyDone:
    return PartlyDone(
        "The request wrote to several databases, and the service died between two commits: some have its writes, "
        "others have not. It is not done again; its owner has to look."
    )


def _key(client: str, request_id: str) -> str:
    return hashlib.sha256(f"{len(client)}:{client}{request_id}".encode()).hexdigest()


def _insert(
    alias: str, client: str, request_id: str, digest: str, databases: list[str], state: str, answer: bytes
) -> None:
    entry = apps.get_model(_MODEL)(
        key=_key(client, request_id),
        client=client,
        request=request_id,
        digest=digest,
        databases=",".join(databases),
        state=state,
        answer=answer,
        at=timezone.now(),
    )
    try:
        entry.save(using=alias, force_insert=True)
    except IntegrityError as error:
        raise Duplicate(request_id) from error


def _has_table(alias: str) -> bool:
    try:
        return apps.get_model(_MODEL)._meta.db_table in connections[alias].introspection.table_names()
    except DatabaseError:
        return True  # the database cannot be reached, so the missing table is not the reason
