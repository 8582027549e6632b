"""``python -m tests.versions [--write] [--kinds rooms mirrors example] [PAIR...]``: run, and say what came.

A pair is ``5.2:4.2``: a client on Django 5.2, a service on 4.2; a single series, ``4.2``, its rooms alone.  Without
one, all pairs of 5.2 with another series, and all rooms.  Further words after ``--`` go to pytest.  The page has what
was run last of each.
"""

from __future__ import annotations

import argparse
import sys

from tests.versions import report
from tests.versions.environments import ROOT, SERIES, EnvironmentUnavailable, environment
from tests.versions.kept import keep, kept
from tests.versions.runs import KINDS, Result

__all__ = ["main"]

#: The release that the project is developed on: each of the others meets it from both sides.
OWN = "5.2"


def planned(pairs: list[str]) -> list[tuple[str, str]]:
    """Client and server of each run; two equal releases are the tests within that release."""
    if pairs:
        return [(one, other or one) for one, _, other in (pair.partition(":") for pair in pairs)]
    others = [series for series in SERIES if series != OWN]
    return [*((OWN, one) for one in others), *((one, OWN) for one in others), *((one, one) for one in SERIES)]


def main() -> int:
    words = sys.argv[1:]
    for_pytest = words[words.index("--") + 1 :] if "--" in words else []
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("pairs", nargs="*", metavar="PAIR")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--write", action="store_true", help="write docs/reference/versions.md")
    parser.add_argument("--page", action="store_true", help="write the page of what was kept, and run nothing")
    options = parser.parse_args(words[: len(words) - len(for_pytest) - ("--" in words)])
    results: list[Result] = []
    missing: dict[str, str] = {}
    for client, server in planned(options.pairs) if not options.page else ():
        try:
            ends = environment(client), environment(server)
        except EnvironmentUnavailable as error:
            missing[client if client != OWN else server] = str(error)
            print(error, file=sys.stderr)
            continue
        # Within one release the rooms, which have the service in their process; a pair has it in another.
        for kind in options.kinds:
            if (kind == "rooms") == (client == server):
                results.append(KINDS[kind](*ends, *for_pytest))
                print(report.as_text(results[-1]), flush=True)
                if not for_pytest:
                    keep(results[-1])
    if options.write or options.page:
        path = ROOT / "docs" / "reference" / "versions.md"
        path.write_text(report.as_markdown(kept(), missing))
        print(f"Written: {path.relative_to(ROOT)}")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
