"""``python -m tests.attacks [--write]``: take each defence out, and require its tests to fail."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- table: python -m tests.attacks --write -->\n", "<!-- end of the table -->\n"


class Without:
    """A plugin: each test runs once for each defence that is taken out for it, and passes where the test fails."""

    def __init__(self, proofs: list[tuple[str, str]]) -> None:
        self.proofs = proofs
        self.survived: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        by_id = {item.nodeid: item for item in items}
        made = []
        for name, test in self.proofs:
            item = by_id[test]
            again = type(item).from_parent(
                item.parent,
                name=f"{item.name}-without-{name}",
                callspec=getattr(item, "callspec", None),
                callobj=item.obj,
                fixtureinfo=item._fixtureinfo,
                originalname=item.originalname,
                keywords=dict.fromkeys(mark.name for mark in item.own_markers),
            )
            again.own_markers = list(item.own_markers)
            again.without, again.proof = name, (name, test)
            made.append(again)
        items[:] = made

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: Any) -> Any:
        from tests.attacks.defences import DEFENCES

        with pytest.MonkeyPatch.context() as monkeypatch:
            for name in pyfuncitem.without.split("+"):
                DEFENCES[name].take_out(monkeypatch)
            try:
                yield
            except BaseException:  # noqa: BLE001 - whatever a test fails by
                self.failed.append(pyfuncitem.proof)
                return True
        self.survived.append(pyfuncitem.proof)
        pytest.fail("It passes without the defence.", pytrace=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table of docs/security.md")
    options = parser.parse_args()
    os.chdir(ROOT)
    from tests.attacks.catalogue import CATALOGUE, full, table

    proofs = [(name, full(test)) for attack in CATALOGUE for name, test in attack.proofs]
    plugin = Without(proofs)
    code = pytest.main(["-q", "-p", "no:cacheprovider", *dict.fromkeys(test for _, test in proofs)], plugins=[plugin])
    print(f"{len(plugin.failed)} of {len(proofs)} tests failed without their defence")
    for name, test in plugin.survived:
        print(f"passes without {name!r}: {test}", file=sys.stderr)
    if options.write and code == 0 and len(plugin.failed) == len(proofs):
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
    return int(code) or int(len(plugin.failed) != len(proofs))


if __name__ == "__main__":
    raise SystemExit(main())
