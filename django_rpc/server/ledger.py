"""The ledger: a request that writes is done once, however often its message is delivered.

    first statement -> the entry is made, in the same transaction -> writes -> keep the answer -> commit
                         or is there: Duplicate -> roll back, give the answer that the ledger has
    error           -> refuse: the refusal is kept in the same way, so that no later delivery is done

The entry is inserted first: a second delivery waits for the first at the database's own unique index, and goes on
when that has been committed (it finds the answer) or rolled back (it is the first then).  docs/reliability.md says
what holds where.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.apps import apps
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connections, router, transaction
from django.utils import timezone

from django_rpc.server import rates
from django_rpc.server.allowance import Allowance, ResponseTooLarge
from django_rpc.server.error_texts import public_error
from django_rpc.server.locale import naive_zone
from django_rpc.wire.codec import encode_response, request_content
from django_rpc.wire.errors import MessageTooLarge, WireError
from django_rpc.wire.messages import ErrorReport, Request, Response

if TYPE_CHECKING:
    from django_rpc.server.models import LedgerEntry

__all__ = [
    "APP",
    "Duplicate",
    "Entry",
    "LedgerError",
    "NoLedger",
    "became_of",
    "entry_for",
    "installed",
    "kept_in",
    "look_up",
    "sendable",
    "withdraw",
]

logger = logging.getLogger("django_rpc.server")

#: What a service adds to INSTALLED_APPS.
APP = "django_rpc.server"
#: Between attempts to note a refusal; None: no further one.
_PAUSES = (0.0, 0.01, 0.05, 0.2, None)
_MODEL = "django_rpc_server.LedgerEntry"


@public_error
class LedgerError(Exception):
    """What the ledger itself has to say to a client; ``code`` is its code on the wire."""

    code: ClassVar[str] = "OutcomeUnknown"

    def report(self) -> ErrorReport:
        return ErrorReport(code=self.code, message=str(self))


class NoLedger(LedgerError):
    """The service keeps no ledger, and the request asks for one."""

    code = "NoLedger"


class RequestConflict(LedgerError):
    """The id has been used for another request."""

    code = "RequestConflict"


class PartlyDone(LedgerError):
    """Some of the databases have the writes, others have not."""

    code = "PartlyDone"


class OutcomeUnknown(LedgerError):
    """The database could not say what became of the request."""


class Duplicate(Exception):
    """The ledger has an entry of this request: what the transaction has done so far is to be rolled back."""


class Found(NamedTuple):
    """What the ledger says of a request: the state, which may be "partly", and the first answer."""

    state: str
    answer: bytes
    digest: str
    at: Any


def installed() -> bool:
    """Whether the table of the ledger belongs to this project."""
    return apps.is_installed(APP)


def kept_in(aliases: Iterable[str] | None = None) -> list[str]:
    """Those of the databases (of all of them) that have a ledger, in the order in which entries are made."""
    if not installed():
        return []
    known = sorted(connections if aliases is None else aliases)
    return [
        alias
        for alias in known
        if connections[alias].vendor != "rpc" and router.allow_migrate_model(alias, apps.get_model(_MODEL))
    ]


def entry_for(message: bytes, request: Request, *, again: bool = False, handed: bytes = b"") -> Entry | None:
    """The entry of a request that writes; None for one that only reads, which is simply done again.

    ``again``: a worker may have begun the message before; where no ledger says what became of that, it is not done.
    ``handed`` are the values that it works on and other services handed over, which do not stand in it.
    """
    if request.asking != "explain" and any(node.writes for node in request.nodes):
        return Entry(message, request, again, handed)
    return None


def sendable(response: Response, limits: Allowance) -> bytes:
    """The bytes of an answer; raises TypeError, which says why, for a value that cannot cross, or ResponseTooLarge."""
    try:
        return encode_response(response, limits.of_response, naive_zone())
    except MessageTooLarge as error:
        raise ResponseTooLarge(limits.response_bytes) from error
    except (WireError, RecursionError) as error:
        raise TypeError(f"The answer cannot be sent: {error}") from error


class Entry:
    """One delivery of a request that writes, and its page in the ledger.

    ``answer`` is what was kept, where the request was done now.
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
        """Say where the request writes, and for whom; before its transactions begin.

        Where a database has no ledger, raises NoLedger for a request that insists on it (`Request.once`), and
        OutcomeUnknown for one that came before.
        """
        self._client = client
        self._databases = kept_in(databases)
        if len(self._databases) == len(databases):
            return
        if self.request.once:
            raise NoLedger(
                "This request shall be done once however often it is sent, and the service keeps no ledger of what "
                f"it has done: add {APP!r} to its INSTALLED_APPS and run migrate, or send it without once()."
            )
        if self.again:
            raise OutcomeUnknown(
                "The worker that had this request before has died, or has lost the broker. Whether it wrote anything "
                f"is not known, so it is not done again. With {APP!r} in its INSTALLED_APPS the service would know."
            )

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Within the transactions: the entry is made before the first statement that runs in one of them.

        So a request that is refused by its words alone runs no SQL.  Code of the service's own may do other things
        than SQL: the entry is made before that (`make`).
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
        """Keep a savepoint back until a statement follows: the entry has to stand outside of it, and may not come."""
        name = (alias, sql.rpartition(" ")[2])
        if sql.startswith("SAVEPOINT "):
            self._held[name] = sql
        elif sql.startswith("RELEASE ") and name in self._held:
            del self._held[name]
        elif not (sql.startswith("ROLLBACK TO ") and name in self._held):
            return False
        return True

    def make(self) -> None:
        """Make the entry, where that has not been done; raises Duplicate where it is there already."""
        if self._claimed:
            return
        self._claimed = True  # first: the entry is made by statements as well
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
        """Note the answer, in the transaction of the writes.

        Raises TypeError or ResponseTooLarge where it cannot be sent, and Duplicate where there is an entry already.
        """
        self.check()
        self.answer = sendable(Response(id=self.request.id, outputs=outputs), limits)
        for alias in self._databases if self._claimed else ():
            entry = apps.get_model(_MODEL)._default_manager.using(alias).filter(pk=self._key)
            entry.update(state="done", answer=self.answer)

    def check(self) -> None:
        """Raise Duplicate where there is an entry, whatever became of that error in the service's own code."""
        if self.duplicate:
            raise Duplicate(self.request.id)

    def refuse(self, response: Response, error: BaseException | None) -> bytes | None:
        """Note that the request was refused and rolled back, so that no later delivery of it is done.

        None where that is so, also where it was refused by its words alone, since every delivery will be.  Otherwise
        the answer to give instead: another delivery was faster, or whether a later one will be done cannot be said.
        """
        if not self._claimed and not isinstance(error, DatabaseError | InterfaceError):
            return None
        if any(connections[alias].needs_rollback for alias in self._databases):
            return None  # within a transaction of the caller's (eagerly) of which nothing will be committed
        try:
            for alias in self._databases:
                self._insert_alone(alias, "refused", encode_response(response, naive_zone=naive_zone()))
        except Duplicate:
            return self.first()
        except (DatabaseError, InterfaceError) as failed:
            return self._unknown(failed)
        return None

    def earlier(self, client: str) -> bytes | None:
        """The answer to a message that comes too late: the ledger's, if an earlier delivery was in time."""
        self._client, self._databases = client, kept_in()
        self._digest = self._digest_of_message()
        try:
            found = look_up(client, self.request.id, self._databases)
        except (DatabaseError, InterfaceError) as error:
            return self._unknown(error)
        return None if found is None else self._answer_of(found)

    def first(self) -> bytes:
        """The answer that the ledger has for this request."""
        try:
            found = look_up(self._client, self.request.id, self._databases)
        except (DatabaseError, InterfaceError) as error:
            return self._unknown(error)
        if found is None:
            return self._said(OutcomeUnknown("The entry of this request was there and is gone: it has been pruned."))
        return self._answer_of(found)

    def _answer_of(self, found: Found) -> bytes:
        if found.digest and found.digest != self._digest:
            logger.warning("An id was used for two requests", extra={"rpc_request": self.request.id})
            return self._said(
                RequestConflict(
                    f"The id {self.request.id!r} has been used for another request. Send the same request to have its "
                    "first answer again, or use an id of its own."
                )
            )
        if found.state == "partly":
            return self._said(_partly())
        return found.answer

    def _digest_of_message(self) -> str:
        return hashlib.sha256(request_content(self._message) + self._handed).hexdigest()

    @property
    def _key(self) -> str:
        return _key(self._client, self.request.id)

    def _insert_alone(self, alias: str, state: str, answer: bytes) -> None:
        """In a transaction that does nothing else, so that it can be tried again: MariaDB ends one of several
        deliveries that wait for the same key with a deadlock."""
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
            return self._said(
                NoLedger(f"The ledger's table is missing at the service: migrate --database {missing[0]} makes it.")
            )
        return self._said(
            OutcomeUnknown(
                "The service's database failed. Whether the request was done, or will be when its message comes again, "
                f"is not known: ask outcome({self.request.id!r}) later."
            )
        )

    def _said(self, error: LedgerError) -> bytes:
        return encode_response(Response(id=self.request.id, error=error.report()))


def look_up(client: str, request_id: str, databases: Iterable[str] | None = None) -> Found | None:
    """What became of a request of ``client``; None where there is no trace of it, by default in any database."""
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
        state = "partly"  # a process died, or a database did, between two commits
    return Found(state, bytes(shown.answer), shown.digest, shown.at)


def became_of(client: str, request_id: str, *, settle: bool, limits: Allowance) -> dict[str, Any]:
    """Return the value of an `Outcome` node; raises NoLedger, and TooManyRequests for too many new entries."""
    if not installed():
        raise NoLedger(
            f"The service keeps no ledger of what it has done: add {APP!r} to its INSTALLED_APPS and migrate."
        )
    found = look_up(client, request_id)
    if settle and found is None:  # a request that is under way has no entry that others see: `withdraw` waits for it
        rates.count(client, limits, "withdrawals")
        withdraw(client, request_id)
        found = look_up(client, request_id)
    if found is None:
        return {"state": "unknown"}
    return {"state": found.state, "at": found.at, "answer": found.answer.decode()}


def withdraw(client: str, request_id: str) -> None:
    """See to it that a request is not done any more, if it has not been; waits for one that is under way."""
    report = ErrorReport(code="Withdrawn", message="The request was withdrawn before it was done.")
    answer = encode_response(Response(id=request_id, error=report))
    databases = kept_in()
    try:
        with ExitStack() as stack:
            for alias in databases:
                stack.enter_context(transaction.atomic(using=alias))
                _insert(alias, client, request_id, "", databases, "withdrawn", answer)
    except Duplicate:
        return  # it has its answer already, or had been withdrawn


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
        return True  # the database itself is away: its tables are not what is missing
