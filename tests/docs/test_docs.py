"""The examples of docs/ are run, and print the documented output.

A page's ``>>>`` examples run top to bottom in one namespace: the mirrors of the example shop, with its rows behind
them (40 customers, 20 products, 80 orders), client and service in this process.
"""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Run by tests/live/test_several_services.py, since it needs several workers.
ELSEWHERE = {"howto/several-services.md"}
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if ">>> " in path.read_text() and path.relative_to(DOCS).as_posix() not in ELSEWHERE
)


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)  # some examples use threads
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_page(page, shop_data, remote, tmp_path, monkeypatch):
    from django.db import connections, models

    monkeypatch.chdir(tmp_path)  # for pictures
    names = {**vars(models), **vars(remote), "connections": connections, "models": models, "__name__": "__main__"}
    failed, tried = doctest.testfile(str(page), module_relative=False, globs=names, optionflags=FLAGS)
    assert tried
    assert not failed


def test_there_are_pages():
    assert len(PAGES) >= 3


def test_links_lead_somewhere():
    import re

    root = DOCS.parent
    for page in [*DOCS.rglob("*.md"), root / "README.md", root / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(root)} links to {target}"
