"""``manage.py rpc_inspect rpc > models.py``: mirrors of what a service exposes, as ``inspectdb`` writes models."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_rpc.client.errors import RpcError
from django_rpc.models.mirror import exposed_models, unknown_model
from django_rpc.models.source import models_source


class Command(BaseCommand):
    help = "Writes the mirror models of what a service exposes to this client."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("database", nargs="?", default="rpc", help='The alias in DATABASES (default: "rpc").')
        parser.add_argument(
            "model", nargs="*", help="Models, as app_label.ModelName; they bring all that they lead to."
        )

        parser.add_argument("--timeout", type=float, default=5.0, help="Seconds for the message (default: 5).")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if alias not in connections or connections[alias].vendor != "rpc":
            services = ", ".join(name for name in connections if connections[name].vendor == "rpc") or "none"
            raise CommandError(f"{alias!r} is no service in DATABASES; the services are: {services}.")
        try:
            described = exposed_models(alias, *options["model"], timeout=options["timeout"])
        except (RpcError, ValueError) as error:
            raise CommandError(f"The service {alias!r} could not be asked: {error}") from error
        known = set(map(str.lower, described))
        missing = [unknown_model(label, alias) for label in options["model"] if label.lower() not in known]
        if missing:
            raise CommandError("\n".join(missing))
        if not described:
            raise CommandError(f"The service {alias!r} exposes no model to this client.")
        self.stdout.write(models_source(described, alias), ending="")
