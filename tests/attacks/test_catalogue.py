"""docs/security.md names each test of an attack, and tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .catalogue import CATALOGUE, full, table
from .defences import DEFENCES

ROOT = Path(__file__).parents[2]


def functions_of(path):
    tree = ast.parse(path.read_text())
    found = [
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    return {f"{path.relative_to(ROOT).as_posix()}::{name}" for name in found}


def test_every_named_test_exists_and_every_test_of_an_attack_is_named():
    named = {full(test) for attack in CATALOGUE for test in attack.tests}
    there = {
        test
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for test in functions_of(path)
    }
    others = {test for path in {ROOT / test.partition("::")[0] for test in named} for test in functions_of(path)}
    assert named <= there | others
    assert there <= named


def test_every_proof_is_of_a_test_of_its_attack():
    for attack in CATALOGUE:
        for name, test in attack.proofs:
            assert test.partition("[")[0] in attack.tests
            assert set(name.split("+")) <= set(DEFENCES)


@pytest.mark.parametrize("name", DEFENCES)
def test_each_defence_can_be_taken_out_and_has_a_proof(db, monkeypatch, name):
    """A name in `defences` that does not exist any more is an error here, and not only in ``make attacks``."""
    DEFENCES[name].take_out(monkeypatch)
    assert any(name in proof.split("+") for attack in CATALOGUE for proof, _ in attack.proofs)


def test_the_page_has_the_table():
    assert table() in (ROOT / "docs" / "security.md").read_text()


def test_every_attack_has_a_proof():
    assert [attack.what for attack in CATALOGUE if not attack.proofs] == []
