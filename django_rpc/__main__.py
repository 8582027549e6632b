"""``python -m django_rpc demo``: the main job, on real parts."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m django_rpc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start a worker and a client, and show every step")
    demo.add_argument("--broker", help="URL of a broker; without it a Redis of its own is started")
    demo.add_argument("--backend", help="URL of a result backend; default: the broker's")
    demo.add_argument(
        "--picture", default="demo.png", help="file for the picture of the last graph (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        from django_rpc.demo.run import run
    except ImportError as error:
        print(f"The demo needs more packages: pip install 'django-rpc[demo]' ({error})", file=sys.stderr)
        return 1
    return run(broker=options.broker, backend=options.backend, picture=options.picture)


if __name__ == "__main__":
    sys.exit(main())
