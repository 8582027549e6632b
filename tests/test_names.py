"""Each class of the package has a name of its own, so that a name leads to one class."""

from __future__ import annotations

import ast
import collections
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "django_rpc"
#: The error of the client, and its subclass for Django, which is a TransactionManagementError as well.
DUPLICATES = {"NotSentYet"}
#: Names that Django prescribes.
PRESCRIBED = {"Command", "Media", "Meta", "Migration"}


def defined_classes() -> dict[str, set[str]]:
    """Return the modules of each class name, without a leading underscore; the demo projects are left out."""
    modules = collections.defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        if module.startswith("demo/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in PRESCRIBED:
                modules[node.name.lstrip("_")].add(module)
    return modules


def test_class_names_are_unique():
    duplicates = {name: sorted(modules) for name, modules in defined_classes().items() if len(modules) > 1}
    assert {name: duplicates[name] for name in duplicates.keys() - DUPLICATES} == {}
    assert duplicates.keys() >= DUPLICATES, "Remove the names that are unique now."
