"""Imports by string obey the layers too: import-linter sees only import statements."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "django_rpc"
#: Each layer with the layers that it must not name in a string.
FORBIDDEN = {
    "graph": ("wire", "telemetry", "transport", "client", "models", "backend", "server", "celery", "contrib"),
    "wire": ("telemetry", "transport", "client", "models", "backend", "server", "celery", "contrib"),
    "telemetry": ("transport", "client", "models", "backend", "server", "celery", "contrib"),
    "transport": ("client", "models", "backend", "server", "celery", "contrib"),
    "client": ("models", "backend", "server", "celery", "contrib"),
    "server": ("transport", "client", "models", "backend", "celery"),
    "celery": ("client", "models", "backend"),
}
#: Modules that name a module of a higher layer, with the reason.
ALLOWED: dict[str, str] = {
    "graph/delayed/runner.py": "compute() of a Delayed loads the engine of the client, which may be absent at a server",
    "graph/plan/stages.py": "explain() of a plan loads the client's report",
    "transport/in_process.py": "the in-process transport calls the task of the worker",
}


def strings(tree: ast.AST) -> list[str]:
    """Return the strings of a module that are not docstrings."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def names_a_module(parts: list[str]) -> bool:
    """Return True for a module of the package, or for a name in one; the names of loggers are neither."""
    return any(PACKAGE.joinpath(*parts[:end]).with_suffix(".py").is_file() for end in range(1, len(parts) + 1))


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_no_string_names_a_module_of_a_higher_layer(layer):
    upward = set()
    for path in (PACKAGE / layer).rglob("*.py"):
        for text in strings(ast.parse(path.read_text())):
            parts = text.partition(":")[0].split(".")
            if parts[0] == "django_rpc" and parts[1:2] and parts[1] in FORBIDDEN[layer] and names_a_module(parts[1:]):
                upward.add(path.relative_to(PACKAGE).as_posix())
    assert sorted(upward - ALLOWED.keys()) == []


def test_each_exception_is_still_needed():
    for name in ALLOWED:
        assert "django_rpc." in (PACKAGE / name).read_text()


def test_each_ignored_type_error_has_a_reason():
    """A reason follows ``type: ignore[...]`` on its line, or a comment on the line above has it."""
    without = []
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            ignored = re.search(r"# type: ignore\[[^]]*\](.*)", line)
            if ignored and "#" not in ignored[1] and not lines[number - 1].lstrip().startswith("#"):
                without.append(f"{path.relative_to(PACKAGE)}:{number + 1}")
    assert without == []
