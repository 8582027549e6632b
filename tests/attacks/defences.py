"""The defences, and how each is taken out: a test proves a defence if the test fails without it."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from django_rpc.server.evaluate import parents

__all__ = ["DEFENCES", "Defence"]


class Defence(NamedTuple):
    """``take_out(monkeypatch)`` leaves the server without it."""

    what: str
    take_out: Callable[[Any], None]


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _without(*targets: str, instead: Any = _nothing) -> Callable[[Any], None]:
    """Each target, a dotted path, does ``instead``."""

    def take_out(monkeypatch: Any) -> None:
        for target in targets:
            monkeypatch.setattr(target, instead)

    return take_out


def _audit(monkeypatch: Any) -> None:
    from django_rpc.server.query.column_guard import AuditedCompiler

    monkeypatch.setattr(AuditedCompiler, "compile", lambda self, node: super(AuditedCompiler, self).compile(node))


def _used(monkeypatch: Any) -> None:
    """Fields that may be read may be used."""
    from django_rpc.server.registry.exposure import Exposure

    monkeypatch.setattr(Exposure, "_filterable", lambda self: (self.names, self.names))


def _compared(monkeypatch: Any) -> None:
    """Fields that may be compared with a value may be compared in any way."""
    from django_rpc.server.policy.client_policy import Policy

    real = Policy.columns

    def columns(self: Any, table: str) -> Any:
        found = real(self, table)
        return found and found._replace(used=found.used | found.compared)

    monkeypatch.setattr(Policy, "columns", columns)


def _alone(monkeypatch: Any) -> None:
    """Fields that may be read may be in nested queries and distinct rows."""
    for module in ("column_guard", "select_cache"):
        monkeypatch.setattr(f"django_rpc.server.query.{module}.is_nested", lambda query: False)


def _pairs(monkeypatch: Any) -> None:
    monkeypatch.setattr("django_rpc.server.evaluate.generic_foreign_keys.partly_written", lambda model, names: [])


def _blind(monkeypatch: Any) -> None:
    """A save sends the values of a row also to a client that may not read it."""
    monkeypatch.setattr(
        "django_rpc.server.evaluate.save._keys_alone",
        lambda exposure, instance, sent: {name: instance.__dict__[name] for name in exposure.by_attname},
    )


def _described(monkeypatch: Any) -> None:
    """Descriptions hold every field of the model."""
    from django_rpc.server.registry import schema

    def fields(self: Any) -> Any:
        return [schema.field_schema(self.policy, self.exposure, field) for field in self.opts.concrete_fields]

    monkeypatch.setattr(schema._ModelDescriber, "_fields", fields)


def _registered(monkeypatch: Any) -> None:
    """Every method may be called."""
    monkeypatch.setattr(
        "django_rpc.server.evaluate.calls.registered", lambda ev, model, name: ev.policy.exposure(model).rpc
    )


def _show_sql(monkeypatch: Any) -> None:
    from django_rpc.server.conf import Settings

    monkeypatch.setattr(Settings, "SHOW_SQL", True, raising=False)


def _joins(monkeypatch: Any) -> None:
    from django_rpc.server.query.column_guard import AuditedCompiler

    monkeypatch.delattr(AuditedCompiler, "get_from_clause")


def _digits(monkeypatch: Any) -> None:
    from django_rpc.wire.tags import TAGS

    monkeypatch.setitem(TAGS, "$decimal", lambda unpack, value: Decimal(value))


def _searches(monkeypatch: Any) -> None:
    """The functions that Django gives to SQLite."""
    from django.db import connection
    from django.db.backends.sqlite3._functions import register

    if connection.vendor != "sqlite":
        return
    monkeypatch.setattr("django_rpc.server.query.sqlite.bound", _nothing)
    connection.__dict__.pop("_rpc_functions", None)
    register(connection.connection)


def _each_row(monkeypatch: Any) -> None:
    """Read all rows, and count them afterwards."""
    from django_rpc.server.query import column_guard

    real = column_guard._read

    def read(cursor: Any, columns: Any, budget: Any) -> Any:
        rows = cursor.fetchall()
        return real(_Rows(rows), columns, budget)

    monkeypatch.setattr(column_guard, "_read", read)


class _Rows(list[Any]):
    def close(self) -> None:
        """Do nothing: the rows are in memory."""


def _told(monkeypatch: Any) -> None:
    from django_rpc.server import handler

    real = handler.report
    monkeypatch.setattr(
        handler, "report", lambda error, node=None, records=None, policy=None: real(error, node, records)
    )


def _tasks(monkeypatch: Any) -> None:
    from django_rpc.celery.app import Tasks

    monkeypatch.delattr(Tasks, "__setitem__")


def _schema(monkeypatch: Any) -> None:
    """Celery gets the message as it is."""
    from django_rpc.celery import task
    from django_rpc.celery.envelope import Task, TaskHeaders

    def read_task(headers: Any, properties: Any, body: Any, content_type: Any) -> Task:
        return Task(TaskHeaders(headers), properties, body)

    monkeypatch.setattr(task, "read_task", read_task)


def _signature(monkeypatch: Any) -> None:
    from django_rpc.wire import signing

    monkeypatch.setattr(
        signing, "_checked", lambda token, *args, **kwargs: msgspec.structs.asdict(signing._unchecked(token)[1])
    )


def _scoped(monkeypatch: Any) -> None:
    """References lead to any row."""
    from django_rpc.server.policy.references import References

    def fetch(self: Any, model: Any, keys: Any) -> Any:
        return model._base_manager.in_bulk(keys)

    monkeypatch.setattr(References, "_fetch", fetch)


def _through(monkeypatch: Any) -> None:
    """Any column of a table of the query, under any alias."""
    from django.apps import apps

    def column(ev: Any, model: Any, label: str, attname: str) -> Any:
        field = apps.get_model(label)._meta.get_field(attname)
        return field.model._meta.db_table, field

    monkeypatch.setattr("django_rpc.graph.vocabulary.signatures._check_through_column", _nothing)
    monkeypatch.setattr("django_rpc.server.evaluate.queries._through_column", column)


def _replace(monkeypatch: Any) -> None:
    def by_manager(ev: Any, relation: Any, targets: Any, options: Any) -> None:
        relation.manager.set(targets, **options)

    monkeypatch.setattr("django_rpc.server.evaluate.relations._replace", by_manager)


def _ignore(monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "django_rpc.server.evaluate.save._on_conflict",
        lambda ev, exposure, node: {"ignore_conflicts": True} if node.on_conflict else {},
    )


def _bound(monkeypatch: Any) -> None:
    """Values for any message are accepted for this message."""
    from django_rpc.server.core import forwarded_inputs as handed

    real = handed.decode_handed

    def decode(data: bytes, message_id: str, limits: Any) -> Any:
        return real(data, str(json.loads(data)["id"]), limits)

    monkeypatch.setattr(handed, "decode_handed", decode)


def _postgres(monkeypatch: Any) -> None:
    from django_rpc.graph.vocabulary import postgres
    from django_rpc.graph.vocabulary import signatures as arguments

    for name in postgres.CHECKS:
        monkeypatch.setitem(arguments._EXPRESSION_CHECKS, name, _nothing)


def _made_rows(monkeypatch: Any) -> None:
    """A relation sets the foreign keys of a through model that the client may not set."""
    from django_rpc.server.evaluate.relations import Relation

    real = Relation.require
    monkeypatch.setattr(Relation, "require", lambda self, ev, makes_rows: real(self, ev, makes_rows=False))


def _shapes(monkeypatch: Any) -> None:
    """Header and claims of a token may have values of any type."""
    from django_rpc.wire import signing

    def read(data: bytes) -> Any:
        return types.SimpleNamespace(**{"kid": "", "alg": "", "iss": "", **json.loads(data)})

    for name in ("_read_header", "_read_claims"):
        monkeypatch.setattr(signing, name, read)


def _decoys(monkeypatch: Any) -> None:
    """A token with an unknown name is verified with an HS256 key, for each algorithm."""
    from django_rpc.wire import signing

    monkeypatch.setattr(signing, "_decoy", lambda algorithm: signing._RANDOM)


_SERVER = "django_rpc.server"
_EVALUATE = f"{_SERVER}.evaluate"
DEFENCES: dict[str, Defence] = {
    "names": Defence("hidden names are unknown ones", _without(f"{_SERVER}.policy.client_policy.Policy.blocked")),
    "audit": Defence("columns and tables of the compiled query are checked", _audit),
    "used": Defence("what queries may use is apart from what may be read", _used),
    "compared": Defence("what may not be read is compared with values alone", _compared),
    "alone": Defence("what may only be read stands by itself, in what is answered", _alone),
    "clients": Defence(
        "each client has its own fields",
        _without(f"{_SERVER}.registry.exposure.Exposure.for_request", instead=lambda self, request: self),
    ),
    "rows": Defence(
        "a table is narrowed to the client's rows", _without(f"{_SERVER}.query.column_guard.AuditedCompiler.narrowed")
    ),
    "identifiers": Defence(
        "names match a pattern, before the ORM sees them",
        _without(
            "django_rpc.graph.vocabulary.signatures.check_path",
            "django_rpc.graph.vocabulary.signatures.check_identifier",
        ),
    ),
    "references": Defence(
        "names that come by references are checked as well",
        _without(f"{_EVALUATE}.methods.check_references", f"{_SERVER}.query.expressions._check_references"),
    ),
    "postgres": Defence("arguments of expressions for PostgreSQL are checked", _postgres),
    "free": Defence(
        "an annotation takes the place of no attribute",
        _without(f"{_EVALUATE}.queries.check_free", f"{_EVALUATE}.prefetch.check_free"),
    ),
    "saved": Defence(
        "expressions that save() writes are checked",
        _without(f"{_EVALUATE}.assignment.check_expression"),
    ),
    "writable": Defence(
        "what may be set is apart from what may be read", _without(f"{_EVALUATE}.assignment.check_writable")
    ),
    "targets": Defence(
        "foreign keys lead to rows that the client sees",
        _without(f"{_EVALUATE}.assignment.check_target"),
    ),
    "generic": Defence(
        "generic foreign keys lead to rows that the client sees",
        _without(f"{_EVALUATE}.generic_foreign_keys.check_pairs"),
    ),
    "parents": Defence(
        "a new row takes over no parent row that the client may not update",
        _without(f"{_EVALUATE}.parents.check_new_row"),
    ),
    "filled": Defence(
        "a key that save() fills is checked as a key of the client",
        _without(f"{_EVALUATE}.parents.saved_keys", instead=parents.key_values),
    ),
    "pairs": Defence("a conflict updates both parts of a generic foreign key", _pairs),
    "returned": Defence(
        "related rows of a query that the service's code returns are those of the client",
        _without(f"{_EVALUATE}.calls._returned", instead=lambda ev, value: value),
    ),
    "orderings": Defence(
        "hidden fields order nothing",
        _without(
            f"{_SERVER}.query.client_query.may_order_by",
            f"{_SERVER}.query.column_guard.may_order_by",
            instead=lambda policy, opts, item: True,
        ),
    ),
    "blind": Defence("who may not read a row learns its key alone", _blind),
    "confirm": Defence(
        "what was written is a row that the client sees",
        _without(f"{_EVALUATE}.assignment.confirm"),
    ),
    "related": Defence("set() and clear() are among the client's rows", _replace),
    "ignored": Defence("no ignored conflicts where a client sees some rows", _ignore),
    "scoped": Defence("references lead to rows that the client sees", _scoped),
    "instances": Defence(
        "instances are no values",
        _without(
            f"{_EVALUATE}.methods._check_instances",
            f"{_SERVER}.query.expressions._refuse_instances",
        ),
    ),
    "arguments": Defence(
        "the service's code gets no expressions", _without(f"{_EVALUATE}.calls._trusted", instead=lambda ev, item: item)
    ),
    "bare": Defence(
        "the service's code gets no related rows of the client",
        _without(
            f"{_EVALUATE}.calls.forget_related",
            f"{_EVALUATE}.instances.forget_related",
            instead=lambda instance: instance,
        ),
    ),
    "forgotten": Defence(
        "related rows are those in memory",
        _without(f"{_SERVER}.results.is_loaded", instead=lambda instance, name: True),
    ),
    "through rows": Defence(
        "rows of through models are in the client's scope",
        _without(
            f"{_EVALUATE}.relations.Relation.changing", instead=lambda self, ev, names=(): contextlib.nullcontext()
        ),
    ),
    "through keys": Defence("foreign keys of a through model are set where the client may set them", _made_rows),
    "through": Defence("columns of through models take the place of nothing", _through),
    "answers": Defence(
        "an answer sets fields, unused names and related rows",
        _without("django_rpc.models.instances.check_free_name", "django_rpc.models.instances.check_related"),
    ),
    "answered rows": Defence(
        "get_or_create() returns an instance of its model",
        _without("django_rpc.models.instances.check_found_or_made", instead=lambda queryset, answer: answer),
    ),
    "answered numbers": Defence(
        "delete() returns numbers of rows",
        _without("django_rpc.models.instances.check_deleted", instead=lambda answer: answer),
    ),
    "answer types": Defence("methods return values of their types", _without("django_rpc.client.session.check_answer")),
    "assigned": Defence(
        "a foreign key is set to an instance of its model",
        _without(f"{_SERVER}.policy.references.References.check_model"),
    ),
    "texts": Defence(
        "errors hold no text of an instance, a database or a path",
        _without(f"{_SERVER}.errors.reports._message", instead=lambda error, code, policy: str(error)),
    ),
    "nesting": Defence(
        "queries and expressions are counted as written out", _without(f"{_EVALUATE}.evaluation.check_nesting")
    ),
    "clock": Defence("the clock is looked at while SQL is written", _without(f"{_SERVER}.core.budget.Budget.check")),
    "parts": Defence("parts of SQL are counted", _without(f"{_SERVER}.core.budget.Budget.count_parts")),
    "sizes": Defence(
        "values are measured as written out",
        _without(f"{_EVALUATE}.memory_limits.Sizes.check", instead=lambda self, value: value),
    ),
    "made": Defence("texts that a request makes are counted", _without(f"{_EVALUATE}.memory_limits.Sizes.count")),
    "outputs": Defence(
        "several outputs are measured one by one",
        _without("django_rpc.wire.codec._outputs", instead=lambda packed, limits: packed),
    ),
    "once": Defence(
        "a description is made once",
        _without(f"{_EVALUATE}.evaluator.Evaluator.once", instead=lambda self, key, make: make()),
    ),
    "depth": Defence("the depth of a message, before it is parsed", _without("django_rpc.wire.codec.check_depth")),
    "digits": Defence("the digits of a number", _digits),
    "patterns": Defence(
        "patterns of searches on SQLite have the meaning that they have for Python",
        _without(f"{_SERVER}.query.regexes._as_python_reads", instead=lambda pattern: pattern),
    ),
    "searches": Defence("searches on SQLite end", _searches),
    "shipping": Defence("only who may ship has code unpickled", _without(f"{_SERVER}.pickled_functions.check")),
    "code": Defence("the bytes of code are counted", _without("django_rpc.wire.tags.Unpacker.count_code")),
    "foreign": Defence("Celery's own callbacks are refused", _without("django_rpc.celery.task._FOREIGN", instead=())),
    "hashes": Defence("values with equal hashes are refused", _without("django_rpc.wire.hashes.Hashes.note")),
    "decoding": Defence("the clock runs while a message is decoded", _without("django_rpc.wire.tags.Unpacker.count")),
    "parked": Defence(
        "parked values are counted",
        _without("django_rpc.celery.reply_list._is_within", instead=lambda members, most: True),
    ),
    "growth": Defence(
        "texts made of literals are estimated",
        _without(f"{_SERVER}.query.column_guard.growth", instead=lambda expression: 0),
    ),
    "schema": Defence("headers of a message are built anew", _schema),
    "commands": Defence(
        "remote control has few commands",
        _without("django_rpc.celery.control._checked", instead=lambda node, handle: handle),
    ),
    "replies": Defence(
        "a reply goes to the list of its request",
        _without("django_rpc.celery.task.reply_key", instead=functools.partial(lambda key: key)),
    ),
    "logs": Defence(
        "claims are made harmless for a log",
        _without(f"{_SERVER}.handler.claims", instead=lambda client: {"rpc_client_host": client.host}),
    ),
    "meta": Defence(
        "hidden fields of Meta are as if they were not there",
        _without(
            f"{_SERVER}.policy.client_policy.Policy.latest_by",
            instead=lambda self, model: (model._meta.get_latest_by or "pk",),
        ),
    ),
    "described": Defence("a description holds the names that a query could use", _described),
    "registered": Defence("methods are registered one by one", _registered),
    "sql": Defence("SQL is shown where SHOW_SQL is on", _show_sql),
    "joins": Defence("joins are counted", _joins),
    "read": Defence(
        "rows and texts that are read are counted",
        _without(f"{_SERVER}.core.budget.Budget.count_rows", f"{_SERVER}.core.budget.Budget.count_row"),
    ),
    "each row": Defence("rows are counted before the next row is read", _each_row),
    "told": Defence("errors name things that the client knows", _told),
    "tasks": Defence("a worker has its own tasks alone", _tasks),
    "signature": Defence("a request has the bytes that were signed", _signature),
    "handed": Defence(
        "handed values are those that their service signed",
        _without(
            f"{_SERVER}.core.forwarded_inputs._authentic", instead=lambda origin, given: given.rpartition(b"\n")[2]
        ),
    ),
    "bound": Defence("handed values are for one message", _bound),
    "handed data": Defence(
        "handed values are data", _without("django_rpc.wire.forwarding._as_data", instead=lambda value: value)
    ),
    "shapes": Defence("header and claims of a token have the types of a closed schema", _shapes),
    "decoys": Defence("an unknown client costs the verification of a known one", _decoys),
    "languages": Defence(
        "a language is one of the service",
        _without(f"{_SERVER}.locale._language", instead=lambda code: code),
    ),
    "window": Defence(
        "the window of a rate limit slides",
        _without(
            f"{_SERVER}.core.rate_limit._Counter.exceeds", instead=lambda self, limit, elapsed: self.total > limit
        ),
    ),
    "withdrawals": Defence("withdrawals are counted", _without(f"{_SERVER}.core.rate_limit.count")),
    "zones": Defence(
        "a zone has the form of a name of the IANA database",
        _without("django_rpc.wire.zones._NAME", instead=re.compile(".*", re.DOTALL)),
    ),
    "replays": Defence(
        "a token is good once", _without(f"{_SERVER}.core.nonces.begin", instead=lambda *args, **kwargs: False)
    ),
}
