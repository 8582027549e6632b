"""``manage.py rpc_prune``: forget requests of the ledger that are older than LEDGER_DAYS."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_rpc.server.conf import settings
from django_rpc.server.ledger.ledger import kept_in
from django_rpc.server.ledger.pruning import prune


class Command(BaseCommand):
    help = "Deletes old entries of the ledger, which prevents that a request that writes is executed twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=float, help="Keep so many days (default: the setting LEDGER_DAYS).")
        parser.add_argument("--database", help="An alias in DATABASES (default: each that has a ledger).")

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.LEDGER_DAYS if options["days"] is None else options["days"]
        if days < 0:
            raise CommandError("--days is a number of days, 0 or more.")
        aliases = kept_in()
        alias = options["database"]
        if alias is not None and alias not in aliases:
            raise CommandError(f"{alias!r} has no ledger; these have: {', '.join(aliases) or 'none'}.")
        for name, number in prune(days, None if alias is None else [alias]).items():
            self.stdout.write(f"{name}: {number} entries older than {days:g} days deleted.")
