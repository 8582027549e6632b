"""Sources of two services, and a runner that answers without any service."""

import pytest

from django_rpc.graph.delayed import Delayed
from django_rpc.graph.describe import describe
from django_rpc.graph.node import Source


class EchoRunner:
    """Answers each output with its description, and remembers the messages that it was given."""

    def __init__(self, service="rpc"):
        self.service = service
        self.messages = []

    def compute(self, outputs, **options):
        self.messages.append((list(outputs), options))
        return [
            (describe(output.node) if output.finish is None else output.finish(describe(output.node)))
            for output in outputs
        ]

    def submit(self, outputs, **options):
        return [SentFuture(value) for value in self.compute(outputs, **options)]


class SentFuture:
    def __init__(self, value):
        self.value = value
        self.timeouts = []

    def result(self, timeout=None):
        self.timeouts.append(timeout)
        return self.value

    def done(self):
        return True

    def __rpc_node__(self):
        raise AssertionError("a future that was sent is waited for, never computed again")


@pytest.fixture
def runner():
    return EchoRunner()


@pytest.fixture
def other_runner():
    return EchoRunner("stock")


@pytest.fixture
def orders(runner):
    return Delayed(Source("shop.Order", "rpc"), runner)


@pytest.fixture
def clients(runner):
    return Delayed(Source("shop.Client", "rpc"), runner)


@pytest.fixture
def products(other_runner):
    return Delayed(Source("stock.Product", "stock"), other_runner)
