"""The progress bar: stages of plans, on a terminal, in a file, and in a notebook."""

import asyncio
import io
import sys
import types

import pytest

import django_rpc
from django_rpc.client import progress
from django_rpc.client.hooks import context_hooks
from django_rpc.graph.delayed.delayed import delayed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@delayed
def half(number):
    return number // 2


@delayed
def fail(number):
    raise ValueError("too few")


def test_a_terminal_shows_each_stage():
    screen = Terminal()
    with django_rpc.ProgressBar(file=screen):
        assert half(8).compute() == 4
    text = screen.getvalue()
    assert "0/1 stages" in text
    assert "stage 1: here" in text
    assert "1/1 stages" in text
    assert text.endswith("\n")


def test_without_rich_there_is_a_bar_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    screen = Terminal()
    with django_rpc.ProgressBar(file=screen):
        half(8).compute()
    assert "[" + "#" * 30 + "] 1/1 stages" in screen.getvalue()


def test_a_file_has_the_last_state_alone():
    screen = io.StringIO()
    with django_rpc.ProgressBar(file=screen):
        asyncio.run(awaited(half(8)))
        half(6).compute()
    lines = screen.getvalue().splitlines()
    assert len(lines) == 2
    assert all("1/1 stages" in line for line in lines)


async def awaited(d):
    return await d


def test_short_plans_show_no_progress():
    screen = io.StringIO()
    with django_rpc.ProgressBar(minimum=60, file=screen):
        half(8).compute()
    half(8).compute()
    assert screen.getvalue() == ""
    assert context_hooks.get() == ()


def test_failure_is_shown_and_raised():
    screen = io.StringIO()
    with django_rpc.ProgressBar(file=screen), pytest.raises(ValueError, match="too few"):
        fail(8).compute()
    assert "failed at stage 1" in screen.getvalue()


def test_notebook_output_is_replaced(monkeypatch):
    shown = []

    class Handle:
        def update(self, value):
            shown.append(value)

    def display(value, display_id):
        assert display_id
        shown.append(value)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module = types.ModuleType("IPython.display")
    module.HTML, module.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert isinstance(progress._screen(None), progress._Notebook)
    with django_rpc.ProgressBar():
        half(8).compute()
    assert '<progress max="1" value="0">' in shown[0]
    assert '<progress max="1" value="1">' in shown[-1]
