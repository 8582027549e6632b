"""``python -m tests.attacks.fuzz --seconds 600``: broken and hostile messages for a given time.

Random graphs of the vocabulary, and broken ones; with ``--atheris`` the choices and the broken bytes are guided by the
code that they reach.  A message that violates the oracle is kept in ``--findings``, and the run goes on.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

MEMORY = 3 * 1024**3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a message that fills the memory is a finding
    guarded = _instrumented(_service) if options.atheris else _service()
    run = Run(guarded, options)
    with guarded:
        (_with_atheris if options.atheris else _at_random)(run, options)
    return run.report()


class Run:
    """Counts messages, and keeps those that violate the oracle."""

    def __init__(self, guarded: Any, options: Any) -> None:
        self.guarded = guarded
        self.findings: Path = options.findings
        self.begun = time.monotonic()
        self.ends = self.begun + options.seconds
        self.messages = 0
        self.slowest = 0.0
        self.found: Counter[str] = Counter()

    def send(self, data: bytes) -> None:
        from tests.attacks.oracle import Violation

        self.messages += 1
        begun = time.monotonic()
        try:
            self.guarded.check(data, look=self.messages % 10 == 0)
        except Violation as violation:
            said = str(violation)
            self.found[said[:160]] += 1
            if self.found[said[:160]] == 1:
                self.findings.mkdir(exist_ok=True)
                name = self.findings / f"{len(self.found):03}"
                name.with_suffix(".json").write_bytes(data)
                name.with_suffix(".txt").write_text(said)
                print(f"FOUND {name}: {said[:300]}", file=sys.stderr, flush=True)
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def report(self) -> int:
        seconds = time.monotonic() - self.begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{self.messages:,} messages in {seconds:.0f} s; slowest {self.slowest:.2f} s; peak {peak} MB")
        for code, number in sorted(self.guarded.codes.items(), key=lambda pair: -pair[1]):
            print(f"  {number:9,}  {code}")
        for said, number in self.found.items():
            print(f"VIOLATION x{number}: {said}")
        return 1 if self.found else 0


def _service() -> Any:
    """The example service on a separate database, with hidden rows and columns."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_rpc.demo.both_settings")
    import logging

    import django
    from django.conf import settings
    from django.test.utils import setup_databases, setup_test_environment

    django.setup()
    from tests.attacks import oracle

    setup_test_environment()
    setup_databases(verbosity=0, interactive=False, aliases={"default"})
    settings.DJANGO_RPC = oracle.SETTINGS
    logging.getLogger("django_rpc.server").propagate = False
    from django_rpc.demo.server.shop.data import load

    load(customers=40, products=20, orders=80)
    return oracle.Guarded()


def _instrumented(make: Any) -> Any:
    """Return the result of ``make``, with coverage instrumentation of the package's code that it imports."""
    import atheris

    with atheris.instrument_imports(include=["django_rpc.graph", "django_rpc.wire", "django_rpc.server"]):
        return make()


def _at_random(run: Run, options: Any) -> None:
    from tests.attacks import graphs

    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    choices = graphs.Choices(random.Random(seed).randrange)
    while time.monotonic() < run.ends:
        run.send(graphs.message(choices))


def _with_atheris(run: Run, options: Any) -> None:
    import atheris

    from tests.attacks import graphs

    def one(data: bytes) -> None:
        if time.monotonic() > run.ends:
            run.report()
            os._exit(1 if run.found else 0)
        provider = atheris.FuzzedDataProvider(data)
        if provider.ConsumeBool():
            run.send(provider.ConsumeBytes(len(data)))
            return
        choices = graphs.Choices(lambda below: provider.ConsumeIntInRange(0, below - 1))
        run.send(graphs.message(choices))

    corpus = options.findings.with_name(options.findings.name + "-corpus")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, vector in enumerate(sorted(Path("tests/vectors").glob("request_*.json"))):
        (corpus / f"vector{number}").write_bytes(vector.read_bytes() + b"\1")  # the last byte: these are a message
    atheris.Setup([sys.argv[0], "-max_len=4096", "-timeout=60", f"-seed={options.seed or 1}", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
