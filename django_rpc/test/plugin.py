"""The pytest plugin: fixtures for the service "rpc".

The context managers of `django_rpc.test` accept other aliases. Only the fixtures import Django.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__ = ["rpc_answers", "rpc_assert_num_messages", "rpc_in_process", "rpc_messages"]


@pytest.fixture
def rpc_in_process() -> Iterator[None]:
    """Run the service "rpc" in the process of the test: `django_rpc.test.in_process`."""
    from django_rpc.test import in_process

    with in_process():
        yield


@pytest.fixture
def rpc_answers() -> Iterator[Any]:
    """Declare the answers of the service "rpc" with the returned `django_rpc.test.Answers`."""
    from django_rpc.test import canned_answers

    with canned_answers() as answers:
        yield answers


@pytest.fixture
def rpc_messages() -> Iterator[list[Any]]:
    """Return the list of the messages that the test has sent to the service "rpc"."""
    from django_rpc.test import capture_messages

    with capture_messages() as sent:
        yield sent


@pytest.fixture
def rpc_assert_num_messages() -> Callable[..., Any]:
    """``with rpc_assert_num_messages(1): ...``: `django_rpc.test.assert_num_messages`."""
    from django_rpc.test import assert_num_messages

    return assert_num_messages
