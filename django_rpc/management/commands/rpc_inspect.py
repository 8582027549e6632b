"""Write mirrors of the models that a service exposes: ``manage.py rpc_inspect rpc --output models.py``."""

from __future__ import annotations

import contextlib
import os
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_rpc.errors import RpcError
from django_rpc.models.codegen.models_py import models_source
from django_rpc.models.mirror import exposed_models, unknown_model


class Command(BaseCommand):
    help = "Writes mirrors of the models that a service exposes to this client."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("database", nargs="?", default="rpc", help='The alias in DATABASES (default: "rpc").')
        parser.add_argument("model", nargs="*", help="Models, as app_label.ModelName; related models are included.")

        parser.add_argument("--timeout", type=float, default=5.0, help="Seconds for the message (default: 5).")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="Write to FILE, which is replaced when the text is complete. Prefer it to a redirection: a shell "
            "empties the file before this command runs, and the project may need the models in it to start.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if alias not in connections or connections[alias].vendor != "rpc":
            services = ", ".join(name for name in connections if connections[name].vendor == "rpc") or "none"
            raise CommandError(f"{alias!r} is no service in DATABASES; the services are: {services}.")
        try:
            described = exposed_models(alias, *options["model"], timeout=options["timeout"])
        except (RpcError, ValueError) as error:
            raise CommandError(f"The service {alias!r} could not be asked: {error}") from error
        labels = set(map(str.lower, described))
        missing = [unknown_model(label, alias) for label in options["model"] if label.lower() not in labels]
        if missing:
            raise CommandError("\n".join(missing))
        if not described:
            raise CommandError(f"The service {alias!r} exposes no model to this client.")
        source = models_source(described, alias)
        if options["output"] is None:
            self.stdout.write(source, ending="")
            return
        try:
            _replace(Path(options["output"]), source)  # call_command() passes a text as it is
        except OSError as error:
            raise CommandError(f"{options['output']} could not be written: {error}") from error
        self.stderr.write(f"{len(described)} mirrors were written to {options['output']}.")


def _replace(path: Path, text: str) -> None:
    """Replace the content of the file ``path`` in one step, so that no reader sees a part of it."""
    target = path.resolve()  # so that a symbolic link is kept
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(target.stat().st_mode if target.exists() else 0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _umask() -> int:
    """Return the umask of the process, which can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
