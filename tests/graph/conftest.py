"""Sources of two services, and a runner that answers without any service."""

import pytest

from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.delayed.runner import Runner
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import ModelSource


class EchoRunner(Runner):
    """Answers each output with its description, and remembers the messages that it was given."""

    service = None

    timeout = None

    def __init__(self, service="rpc"):
        self.service = service
        self.messages = []

    def send(self, stage, **options):
        outputs = [stage.nodes[index] for index in stage.outputs]
        self.messages.append((outputs, options))
        return Answer([self.answer(node) for node in outputs])

    def answer(self, node):
        return describe(node)


class Answer:
    """A call with a ready answer."""

    request_id = "7f"
    cancelled = False

    def __init__(self, values):
        self.values = values

    def wait(self, timeout=None):
        return self.values

    async def arrive(self, timeout=None):
        return self.values

    def done(self):
        return True

    def cancel(self):
        return False


class SentFuture:
    """A future of another library, under way."""

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
    return Delayed(ModelSource("shop.Order", "rpc", runner=runner))


@pytest.fixture
def clients(runner):
    return Delayed(ModelSource("shop.Client", "rpc", runner=runner))


@pytest.fixture
def products(other_runner):
    return Delayed(ModelSource("stock.Product", "stock", runner=other_runner))


@pytest.fixture
def sent_future():
    return SentFuture
