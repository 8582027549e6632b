"""Print the permissions of each client of this service as a table: ``manage.py rpc_policy [client]``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from django_rpc.management.tables import print_table
from django_rpc.server import site
from django_rpc.server.conf import settings
from django_rpc.server.policy.policy_report import ModelRow, functions_of, models_of, policy_of

_HEAD = ("model", "may", "reads", "filters", "sets", "methods", "rows")


class Command(BaseCommand):
    help = "Prints what each client of this service may do, or one client."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", nargs="?", help="A name in DJANGO_RPC['CLIENTS']; by default all.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            clients = settings.clients
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        wanted = options["client"]
        if wanted is not None and wanted not in clients:
            raise CommandError(f"There is no client {wanted!r}; the clients are: {', '.join(clients)}.")
        for name in [wanted] if wanted is not None else clients:
            self._print(clients[name])

    def _print(self, client: Any) -> None:
        policy = policy_of(site, client)
        keys = ", ".join(f"{key.id} ({key.algorithm})" for key in client.keys.values()) or "none: does not sign"
        self.stdout.write(f"client {client.name}    user: {client.user or 'none'}    keys: {keys}")
        rows: list[tuple[str, ...]] = [_HEAD]
        for row in models_of(policy):
            cells = row.operations, row.fields, _of(row, row.filterable), _of(row, row.writable), row.methods
            rows.append((row.model, *map(_words, cells), row.rows))
        print_table(self.stdout, rows)
        self.stdout.write(f"functions: {_words(functions_of(policy))}\n")
        if client.may_ship:
            self.stdout.write("cloudpickle: ships functions of its own, which may do all that this service may.\n")
        if not settings.STRICT:
            self.stdout.write("STRICT is False: every other model is open too, with all that it has.\n")


def _of(row: ModelRow, names: Sequence[str]) -> Sequence[str]:
    """Return a short text for ``names``, relative to the fields that the client may read."""
    more = [name for name in names if name not in row.fields]
    others = [name for name in row.fields if name not in names]
    if len(others) >= len(names) - len(more):
        return names
    return ("all", *(("but", *others) if others else ()), *(("and", *more) if more else ()))


def _words(names: Sequence[str]) -> str:
    return " ".join(names) or "-"
