"""Explanations of tests that cannot pass over RPC, by the cause of the failure and never by the name of the test."""

from __future__ import annotations

import re

from tests.conformance.results import Verdict

__all__ = ["explain"]

#: A pattern of the cause or of the reason, and the explanation; the first that fits.
EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"'JOIN' unexpectedly found",
        "Django counts the rows of a many-to-many relation in the table of the relation. A service joins the "
        "related rows, since a client may see only some of them.",
    ),
    (
        r"^reads SQL|has no SQL here|SAVEPOINT|queries executed|not found in 'SELECT|found in 'SELECT|!= 'BEGIN'",
        "The test reads the SQL of its queries, or counts statements. The service writes the SQL: explain() and "
        "the trace of a message show it to a client that may see it.",
    ),
    (
        r"cannot be read from the local database|no database 'nonexistent'",
        "The test has the rows of one model in two databases. A mirror's rows are at its service: using() of "
        "another local database is refused at the call.",
    ),
    (
        r"'rpc' != '|'rpc' is not|!= 'rpc'|RouterUsed|database router prevents",
        "The test asserts which alias an instance or a router has. A mirror's alias is its service's; in one "
        "process, a router of the test is asked by the server's code too.",
    ),
    (
        r"cannot be nested in a query of the local database|local model User cannot be nested"
        r"|not made through a mirror|is a local table: no query joins the two",
        "A local query contains a remote query, or the reverse. No database can join both, and the error explains "
        "it. With list(...) around the inner query it works.",
    ),
    (
        r"json\.HasKey cannot",
        "HasKey() with a left side that the client writes, which is SQL injection on unpatched servers "
        "(CVE-2024-53908): filter(field__has_key=...) is sent.",
    ),
    (
        r"^TypeError: The expression |expressions\.Func cannot|Sum\(order_by",
        "An expression that the test defines, or an expression with SQL text (Func, Collate). Only the "
        "expressions of Django have names on the wire. Compute the value at the service, by a registered method "
        "or a computed field.",
    ),
    (
        r"Unsupported lookup '\w+__\w+",
        "A path that leads through a local model (User) back to models of the app. In the one process of this run "
        "the app's models and the mirrors both give that way the same name, which two projects do not.",
    ),
    (
        r"Unsupported lookup|Cannot resolve keyword '(floor|mod100)'|Join on",
        "A lookup or transform that the test registers on an output field of a query, or only while it writes the "
        "query. The service compiles the query later and has no such lookup. It works if both ends register it.",
    ),
    (
        r"not a valid lookup path|not a valid name|not a part of a date|not an option of explain",
        "A name that the wire refuses: letters, digits and underscores pass, quotes and percent signs do not.",
    ),
    (
        r"messages and local statements",
        "One message where Django needs no query: the service's database decides that there is no row, or its "
        "table of content types is read for the first time.",
    ),
    (
        r"to have been called|expected call not found|isinstance\(\) arg|^AssertionError: 0 != 1$|False is not true$",
        "The test replaces a function inside Django, which is called at the service, or not at all.",
    ),
    (
        r"^AssertionError: Lists differ|'mirror_|mirror_\w+ !=",
        "The test sees the service's cascades or its names: signals of rows that the service deletes with a row "
        "are sent there, and a client hears of the row that it deleted.",
    ),
    (
        r"cannot be sent to a client|MyWrapper|UUID|Sequences differ.*json_field",
        "A value of a class that the test defines, at the service.",
    ),
    (
        r"nothing to migrate from here",
        "The test migrates its second database. The project of a service migrates the tables of the service.",
    ),
    (
        r"'chocolate' != |ValueError not raised",
        "A relation between local users and mirrors of their profiles. The key is kept and no database is shared, "
        "so that such a relation is never refused, and a local row does not name the service that it belongs to.",
    ),
    (
        r"SynchronousOnlyOperation",
        "The test expects that a blocking call within an event loop is refused. A mirror's works there, as "
        "notebooks need it; in this run, the service's database, which is in the same thread, refuses it.",
    ),
    (
        r"<RpcQuerySet \[\]> is not true",
        "post_delete for rows that go along is sent when the one message has been answered: their parent is gone too.",
    ),
    (
        r"UnknownModel: This service has no model",
        "Models that the test defines. The service has no model of that name, and the error names it.",
    ),
    (
        r"Problem installing fixture",
        "A fixture with the models of the app, and not the mirrors, is loaded into the alias of a service. The "
        "project of a service loads its fixtures, or a fixture contains the mirrors.",
    ),
    (
        r"^AssertionError: 9\.0 != 4",
        "A block of transaction.atomic() around several operations of a mirror ends with an exception. Each "
        "operation was a transaction, and stays done. TransactionManagementError reports it; `with "
        "django_rpc.atomic()` is one transaction.",
    ),
    (
        r"expected str instance, NoneType found",
        "The test makes a table by the alias of a service. The project of a service makes its tables.",
    ),
    (
        r"'rpc': False|sqlite-specific issue",
        "The test looks at all of DATABASES, where a service is one more, and none of SQLite's.",
    ),
    (
        r"datetime\.datetime\(.* not greater than datetime",
        "The test allows two seconds for a row to be made. The first message of a process loads the client, which "
        "took longer on a busy machine; on a quiet one the test passes.",
    ),
    (
        r"select_for_update\(\) locks rows until its message is answered",
        "A lock ends when its message is answered, so that a read with select_for_update() and no write in the "
        "message protects nothing: it is refused. The error names the ways to write in one message with it.",
    ),
    (
        r"not less than or equal to 2$",
        "The test compares durations of milliseconds, which the load of the machine changes. It queries no model.",
    ),
    (
        r"SQL past the server",
        "The test runs a mirror's query on a local database by hand, through that database's compiler and cursor.",
    ),
    (
        r"TransactionManagementError not raised",
        "A broken local transaction does not affect a service, which runs each operation in a separate transaction.",
    ),
    (
        r"^AssertionError: AssertionError not raised",
        "The test expects that too few queries are a failure. Fewer messages than Django's queries are none, here.",
    ),
)


def explain(test: str, verdict: Verdict) -> str | None:
    for pattern, text in EXPLANATIONS:
        if re.search(pattern, verdict.cause) or re.search(pattern, verdict.reason):
            return text
    return None
