"""``python -m tests.chaos [--seconds N] [--broker redis|rabbitmq] [--clients N] [--seed TEXT]``: a storm, by hand."""

from __future__ import annotations

import argparse
import sys

from tests.chaos.run import storm
from tests.chaos.scene import Plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], default="redis")
    parser.add_argument("--threads", type=int, default=3, help="of each client")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    outcome = storm(Plan(broker=options.broker, threads=options.threads, seed=options.seed), options.seconds)
    print(outcome.told())
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
