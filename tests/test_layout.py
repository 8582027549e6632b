"""The tests of a module are found by its name: ``client/futures.py`` is tested by ``tests/client/test_futures.py``.

The file may also be in a folder of that layer: ``tests/server/core/test_limits.py`` tests ``server/core/limits.py``.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "django_rpc", ROOT / "tests"
#: The number of modules that only tests of other modules cover. It may only shrink.
UNTESTED_BY_NAME = 199
#: The example projects, and the commands, which the tests of the checks and of the models call.
EXEMPT_FOLDERS = ("demo", "management")


def modules() -> set[str]:
    """Return the modules with functions or classes, as paths from the package."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
        and path.relative_to(PACKAGE).parts[0] not in EXEMPT_FOLDERS
        and "migrations" not in path.parts
        and has_code(path)
    }


def has_code(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in body)


def file_of_tests(module: str) -> Path | None:
    """Return the test file of the module's name: in the folder of its layer, or below that folder."""
    path = Path(module)
    name = f"test_{path.stem}.py"
    folder = path.parts[0] if len(path.parts) > 1 else ""
    folder = {"test": "test_helpers"}.get(folder, folder)
    if not folder:
        return next((file for file in [TESTS / name] if file.exists()), None)
    same_folder = TESTS / folder / Path(*path.parts[1:-1]) / name
    return same_folder if same_folder.exists() else next(iter(sorted((TESTS / folder).rglob(name))), None)


def test_modules_have_a_test_file_of_their_name():
    without = sorted(module for module in modules() if file_of_tests(module) is None)
    assert len(without) <= UNTESTED_BY_NAME, "add a test file of the module's name for one of: " + ", ".join(without)
