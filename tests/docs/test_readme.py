"""All examples of README.md run, and print the documented output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.environments import InstallationFailed, make_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language):
    return [text for kind, text in BLOCK.findall(README) if kind == language]


def console():
    """The commands of the console blocks, each with the output that follows it."""
    found = {}
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found[command] = output
    return found


def write_projects(folder, url):
    """The files of the quick start, which name themselves in their first line."""
    for text in blocks("python"):
        name, _, code = text.partition("\n")
        if name.startswith("# ") and name.endswith(".py"):
            path = folder / name.removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code.replace("redis://localhost/", url))


@pytest.fixture(scope="module")
def redis_url():
    from django_rpc.demo.services import redis_server

    with redis_server() as redis:
        yield redis.url


def readme_extras():
    """The extras of the service and of the client, from the text."""
    service, client = re.findall(r"`pip install '\.\[([\w,]+)\]'`", README)
    return service.split(","), client.split(",")


@pytest.mark.parametrize("lowest", [False, True], ids=["newest versions", "lowest versions"])
def test_quick_start(tmp_path, redis_url, required, lowest):
    """In two environments that have only the packages which the text installs."""
    from django_rpc.demo.services import worker

    write_projects(tmp_path, redis_url)
    commands = console()
    assert "python -m django migrate --run-syncdb" in commands
    assert "celery -A django_rpc.celery.app worker" in commands
    service, client = tmp_path / "service", tmp_path / "client"
    service_extras, client_extras = readme_extras()
    try:
        at_service = make_environment(tmp_path / "at_service", *service_extras, lowest=lowest)
        at_client = make_environment(tmp_path / "at_client", *client_extras, lowest=lowest)
    except InstallationFailed as error:
        required(False, str(error))
    settings = {"DJANGO_SETTINGS_MODULE": "settings"}
    at_service.run(at_service.python, "-m", "django", "migrate", "--run-syncdb", cwd=service, **settings)
    text = (service / "settings.py").read_text()
    (service / "settings.py").write_text(text.replace("library.sqlite3", str(service / "library.sqlite3")))
    with worker("settings", {"PYTHONPATH": str(service)}, python=at_service.python):
        printed = at_client.run(at_client.python, "read.py", cwd=client, **settings)
    assert printed == commands["DJANGO_SETTINGS_MODULE=settings python read.py"]


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory):
    """Return the output of ``make demo`` on a terminal that is wide enough not to fold lines."""
    folder = tmp_path_factory.mktemp("demo")
    env = {**os.environ, "COLUMNS": "250"}
    done = subprocess.run(
        [sys.executable, "-m", "django_rpc", "demo", "--picture", str(folder / "demo.png")],
        capture_output=True, text=True, timeout=120, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "demo.png").stat().st_size > 1000
    return done.stdout


def test_demo_output_matches_readme(demo_output):
    (shown,) = blocks("text")
    printed = demo_output.splitlines()
    for line in shown.splitlines():
        assert line in printed


def test_the_demo_ends_with_a_table(demo_output):
    rows = [re.findall(r"[\w.]+", line) for line in demo_output.splitlines() if line.startswith("│")]
    by_name = {" ".join(row[:-3]): row[-3:] for row in rows}
    assert by_name["one statement"][:2] == ["1", "1"]
    assert by_name["prefetch"][:2] == ["1", "3"]
    assert by_name["one transaction"][0] == "1"
    assert int(by_name["all"][0]) == sum(int(row[0]) for name, row in by_name.items() if name != "all")


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
