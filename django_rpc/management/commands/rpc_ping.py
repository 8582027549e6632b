"""Report the latency of a service, its versions, and the permissions of this client: ``manage.py rpc_ping [alias]``."""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_rpc import errors
from django_rpc.client.ping import Pings, Spread, ping
from django_rpc.client.session import Session
from django_rpc.management.tables import print_table
from django_rpc.wire.names import without_passwords


class Command(BaseCommand):
    help = "Measures the way to a service and back, and tells its versions, its clock and what this client may do."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("database", nargs="?", default="rpc", help='The alias in DATABASES (default: "rpc").')
        parser.add_argument("--count", type=_count, default=5, help="How many messages are measured (default: 5).")
        parser.add_argument("--timeout", type=float, default=5.0, help="Seconds for each message (default: 5).")
        parser.add_argument("--priority", action="store_true", help="By the priority queue.")
        parser.add_argument("--json", action="store_true", help="For programs: seconds, and all names.")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if alias not in connections or connections[alias].vendor != "rpc":
            services = ", ".join(name for name in connections if connections[name].vendor == "rpc") or "none"
            raise CommandError(f"{alias!r} is no service in DATABASES; the services are: {services}.")
        session, priority = connections[alias].session, options["priority"]
        way = _way(session, priority)
        try:
            found = ping(session, options["count"], timeout=options["timeout"], priority=priority)
            if not (found.models or found.functions):
                raise errors.PermissionDenied(f"It answers, and exposes nothing to this client ({found.client}).")
        except errors.RpcError as error:
            if options["json"]:
                self._json(way, {"ok": False, "error": type(error).__name__, "message": str(error)})
            raise CommandError(f"{alias}: {type(error).__name__}: {error}") from error
        if options["json"]:
            self._json(way, _as_json(found))
        else:
            self._print(way, found)

    def _json(self, *parts: dict[str, Any]) -> None:
        self.stdout.write(json.dumps({key: value for part in parts for key, value in part.items()}, indent=2))

    def _print(self, way: dict[str, Any], found: Pings) -> None:
        name = f"{way['service']} ({found.service})" if found.service else way["service"]
        self.stdout.write(f"{name}: queue {way['queue']} at {way['broker']}, answers by {way['answers']}")
        self.stdout.write(f"This client is known there as {found.client}.")
        rows: list[tuple[str, ...]] = [("milliseconds", "least", "median", "most")]
        rows += [
            (what, *_milliseconds(one)) for what, one in (("round trip", found.round_trip), ("there", found.worked))
        ]
        print_table(self.stdout, rows)
        best = found.best
        self.stdout.write(
            f"The clock there is {abs(best.ahead) * 1000:.1f} ms {'ahead' if best.ahead >= 0 else 'behind'}, "
            f"give or take {best.doubt * 1000:.1f} ms."
        )
        known = [*found.there, *(name for name in found.here if name not in found.there)]
        versions = [(name, found.here.get(name, "-"), found.there.get(name, "-")) for name in known]
        print_table(self.stdout, [("version", "here", "there"), *versions])
        models = [
            (label, " ".join(model.operations) or "-", " ".join(model.methods) or "-")
            for label, model in found.models.items()
        ]
        print_table(self.stdout, [("model", "may", "methods"), *models])
        self.stdout.write(f"functions: {' '.join(found.functions) or '-'}")
        if found.ships:
            self.stdout.write("cloudpickle: this client may ship functions of its own")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a number of messages: 1 or more.")
    return int(text)


def _way(session: Session, priority: bool) -> dict[str, Any]:
    """Return the addresses of broker and result backend, without passwords."""
    config = session.config
    broker = without_passwords(config.broker_url)
    answers = without_passwords(config.result_backend)
    if session.runs_here:
        broker = answers = "this process"
    return {"service": config.alias, "queue": config.queue(priority=priority), "broker": broker, "answers": answers}


def _milliseconds(spread: Spread) -> tuple[str, ...]:
    return tuple(f"{value * 1000:.2f}" for value in dataclasses.astuple(spread))


def _as_json(found: Pings) -> dict[str, Any]:
    best = found.best
    return {
        "ok": True,
        "known_as": found.client,
        "count": len(found.pings),
        "round_trip": dataclasses.asdict(found.round_trip),
        "there": dataclasses.asdict(found.worked),
        "clock": {"ahead": best.ahead, "doubt": best.doubt},
        "versions": {"here": dict(found.here), "there": dict(found.there)},
        "models": {
            label: {"operations": list(model.operations), "methods": list(model.methods)}
            for label, model in found.models.items()
        },
        "functions": list(found.functions),
        "ships": found.ships,
    }
