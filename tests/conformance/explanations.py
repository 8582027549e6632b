"""Why what remains cannot pass over RPC, and what a user gets instead: by the cause, never by a test's name."""

from __future__ import annotations

import re

from tests.conformance.results import Verdict

__all__ = ["explain"]

#: A pattern of the cause or the reason, and the explanation.
EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"^reads SQL: str\(query\)",
        "The test reads the SQL of a query. The service writes it; `explain()` and the trace of a message show it.",
    ),
)


def explain(test: str, verdict: Verdict) -> str | None:
    for pattern, text in EXPLANATIONS:
        if re.search(pattern, verdict.cause) or re.search(pattern, verdict.reason):
            return text
    return None
