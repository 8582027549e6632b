"""Why what remains cannot pass over RPC, and what a user gets instead: by the cause, never by a test's name."""

from __future__ import annotations

import re

from tests.conformance.results import Verdict

__all__ = ["explain"]

#: A pattern of the cause or of the reason, and the explanation; the first that fits.
EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"^reads SQL|has no SQL here|SAVEPOINT|queries executed|not found in 'SELECT|found in 'SELECT",
        "The test reads the SQL of its queries, or counts statements. The service writes the SQL: explain() and the "
        "trace of a message show it to a client that may see it.",
    ),
    (
        r"cannot be read from the local database|no database 'nonexistent'",
        "The test has the rows of one model in two databases. A mirror's rows are at its service: using() of another "
        "local database is refused at the call.",
    ),
    (
        r"'rpc' != '|'rpc' is not|!= 'rpc'|RouterUsed|database router prevents",
        "The test asserts which alias an instance or a router has. A mirror's alias is its service's; in one process, "
        "a router of the test is asked by the server's code too.",
    ),
    (
        r"cannot be nested in a query of the local database|local model User cannot be nested"
        r"|not made through a mirror",
        "A local query holds a remote one, or the other way: no database can join both. The error says so; with "
        "list(...) around the inner query it works.",
    ),
    (
        r"json\.HasKey cannot",
        "HasKey() with a left side of the client's own, which is SQL injection on unpatched servers (CVE-2024-53908): "
        "filter(field__has_key=...) is sent.",
    ),
    (
        r"^TypeError: The expression |expressions\.Func cannot|Sum\(order_by",
        "An expression of the test's own, or one with SQL text in it (Func, Collate). Only Django's own expressions "
        "have names on the wire: compute it at the service, by a registered method or a computed field.",
    ),
    (
        r"Unsupported lookup|Cannot resolve keyword '(floor|mod100)'|Join on",
        "A lookup or transform that the test registers on the mirror's field: the service does not have it.",
    ),
    (
        r"not a valid lookup path|not a valid name|not a part of a date|not an option of explain",
        "A name that the wire refuses: letters, digits and underscores pass, quotes and percent signs do not.",
    ),
    (
        r"messages and local statements",
        "One message where Django needs no query: the service's database decides that there is no row, or its table of "
        "content types is read for the first time.",
    ),
    (
        r"to have been called|expected call not found|isinstance\(\) arg|100 != |False is not true$",
        "The test replaces a function inside Django, which is called at the service, or not at all.",
    ),
    (
        r"^AssertionError: Lists differ|'mirror_|mirror_\w+ !=",
        "The test sees the service's cascades or its names: signals of rows that the service deletes with a row are "
        "sent there, and a client hears of the row that it deleted.",
    ),
    (
        r"cannot be sent to a client|MyWrapper|UUID|Sequences differ.*json_field",
        "A value of a class of the test's own, on the server's side.",
    ),
    (
        r"nothing to migrate from here|No fixture named",
        "The test migrates its second database, or has a fixture named after it: the tables of a service are its own "
        "project's, and its alias has another name.",
    ),
    (
        r"'chocolate' != |ValueError not raised",
        "Local users and mirrors of their profiles: the key is kept and no database is shared, so that a relation "
        "between the two is never refused, and a local row does not say which service it belongs to.",
    ),
    (
        r"TransactionManagementError not raised",
        "A local transaction that is broken does not hinder a service: its operations are transactions of their own.",
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
