"""``django_rpc.demo.shell`` has the names and rows that the examples of the documentation use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROGRAM = """
import doctest, sys
from django_rpc.demo import shell
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
failed, tried = doctest.testfile(sys.argv[1], module_relative=False, globs=dict(vars(shell)), optionflags=flags)
sys.exit(failed or not tried)
"""


@pytest.mark.parametrize("page", ["tutorial.md", "howto/map.md", "howto/transactions.md", "howto/see.md"])
def test_examples_of_page_run_in_the_shell(page, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(DOCS / page)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
