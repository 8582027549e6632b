"""Demonstrations with a real broker and worker: ``python -m django_rpc demo`` and ``demo-admin``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m django_rpc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start a worker and a client, and show every step")
    demo.add_argument(
        "--picture", default="demo.png", help="file for the picture of the last graph (default: %(default)s)"
    )
    admin = commands.add_parser(
        "demo-admin", help="start a worker and a client's site with Django's admin, until Ctrl-C"
    )
    admin.add_argument("--port", type=int, help="port of the site (default: 8000, or a free one)")
    for command in (demo, admin):
        command.add_argument("--broker", help="URL of a broker; without it a Redis of its own is started")
        command.add_argument("--backend", help="URL of a result backend; default: the broker's")
    options = vars(parser.parse_args(arguments))
    name = options.pop("command")
    try:
        run = _admin() if name == "demo-admin" else _demo()
    except ImportError as error:
        print(f"The demo needs more packages: pip install 'django-rpc[demo]' ({error})", file=sys.stderr)
        return 1
    return run(**options)


def _demo() -> Callable[..., int]:
    from django_rpc.demo.run import run

    return run


def _admin() -> Callable[..., int]:
    import django  # noqa: F401 - which the site needs: better to say so here than in a log

    from django_rpc.demo.admin_site import run

    return run


if __name__ == "__main__":
    sys.exit(main())
