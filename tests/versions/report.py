"""The results of the runs: a line, a text, and docs/reference/versions.md."""

from __future__ import annotations

from collections import Counter

from .environments import Environment
from .runs import Result

__all__ = ["as_markdown", "as_text", "line"]

_HEAD = """# Versions

Python 3.11 or newer, Django 4.2 (from 4.2.28) or newer, on each end. Client and service may run different releases of
both: what crosses the wire are names of one vocabulary, not Django's own objects.

- What a query may say is decided by the older end. A service refuses by name what its Django does not have (`The
  exclusion of a frame is not of this service's release of Django.`); `create_defaults` of `update_or_create()` works on
  services with 4.2 too.
- What one end has and the other has not, a mirror leaves out: a `GeneratedField` of a service is an ordinary read-only
  field for a client on 4.2, as `manage.py rpc_inspect` writes it there.
- A query that Django itself gets wrong in a release is as wrong at a service of that release.

`make versions` makes an environment for each release (pip, in a cache outside the repository), and runs what stands
below; this page is written by `make versions WRITE=1`. CI runs the tests of queries against a worker on Django 4.2.
"""

_PAIRS = """## A client on one release, a service on another

Real Celery workers of the service's environment. *Mirrors*: the tests of `tests/models` and `tests/contrib` (each query
and write beside the model's own, every type of field, admin, forms, views, REST framework, generic relations), over
Redis. *Example*: the example project's live tests, on Redis with SQLite and on RabbitMQ with PostgreSQL.
"""

_ROOMS = """## One release on both ends

The project's own tests, client and service in one process: graph, wire, client, models, server, backend, contrib and
test helpers.
"""


def line(result: Result) -> str:
    """One run in a line."""
    where = _end(result.client)
    if result.kind != "rooms":
        where = f"client {where}, service {_end(result.server)}"
    return f"{result.kind}: {where}: {_counts(result)} in {result.seconds:.0f} s"


def as_text(result: Result) -> str:
    """Return the line, and the names of the failed tests."""
    return "\n".join([line(result), *(f"    FAILED {name}" for name in result.failed)])


def as_markdown(results: list[Result], missing: dict[str, str]) -> str:
    """The page. ``missing``: why a series could not be run."""
    parts = [_HEAD]
    parts += [f"Not run on the machine that wrote this page: {text}\n" for text in missing.values()]
    parts += [_PAIRS, _pairs([result for result in results if result.kind != "rooms"])]
    parts += [_ROOMS, _rooms([result for result in results if result.kind == "rooms"])]
    parts += [_failed(results), "## Left out\n", _left_out(results)]
    return "\n".join(parts)


def _end(end: Environment) -> str:
    return f"Django {end.django} on Python {end.python_version}"


def _counts(result: Result) -> str:
    return f"{result.passed} passed, {len(result.failed)} failed, {len(result.left_out)} left out"


def _pairs(results: list[Result]) -> str:
    rows = ["| client | service | mirrors | example |", "| --- | --- | --- | --- |"]
    for client, server in dict.fromkeys((result.client, result.server) for result in results):
        found = {one.kind: _counts(one) for one in results if (one.client, one.server) == (client, server)}
        cells = [_end(client), _end(server), found.get("mirrors", "not run"), found.get("example", "not run")]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _rooms(results: list[Result]) -> str:
    rows = ["| Django | Python | |", "| --- | --- | --- |"]
    rows += [f"| {one.client.django} | {one.client.python_version} | {_counts(one)} |" for one in results]
    return "\n".join(rows) + "\n"


def _failed(results: list[Result]) -> str:
    """Return the names of the failed tests, each with its runs."""
    runs: dict[str, list[str]] = {}
    for result in results:
        for name in result.failed:
            runs.setdefault(name, []).append(_where(result))
    rows = [f"- `{name}`: {', '.join(where)}" for name, where in sorted(runs.items())]
    return "\n".join(["## Failed\n", *(rows or ["None."])]) + "\n"


def _where(result: Result) -> str:
    return result.client.series if result.kind == "rooms" else f"{result.client.series} → {result.server.series}"


def _left_out(results: list[Result]) -> str:
    """Each reason, with the runs that it is one of and how many tests it concerns."""
    counted: dict[str, Counter[str]] = {}
    for result in results:
        where = _where(result)
        for reason in result.left_out.values():
            counted.setdefault(reason.removeprefix("Skipped: "), Counter())[where] += 1
    rows = ["| reason | tests, by run |", "| --- | --- |"]
    for reason, runs in sorted(counted.items()):
        rows.append(f"| {reason} | {', '.join(f'{where}: {count}' for where, count in sorted(runs.items()))} |")
    return "\n".join(rows) + "\n"
