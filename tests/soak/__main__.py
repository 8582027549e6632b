"""``python -m tests.soak [--calls N]``: many calls, and no growth."""

from __future__ import annotations

import argparse
import sys

from tests.soak.run import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    result = soak(parser.parse_args().calls)
    print(result.told())
    return 1 if result.growth else 0


if __name__ == "__main__":
    sys.exit(main())
