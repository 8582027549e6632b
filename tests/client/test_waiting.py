"""Futures: in order of completion, all, the first; gather; many awaits of the same call."""

import asyncio
import concurrent.futures
import gc
import threading

import pytest

import django_rpc
from django_rpc import errors
from django_rpc.client.futures import Future, PendingCall
from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.delayed.runner import Runner
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.transport import base
from django_rpc.transport.base import Options

COUNT = Method(parent=ModelSource(model="shop.Order", service="rpc"), name="count")


class Reply(base.Reply):
    """A reply that blocks; ``AsyncReply`` supports asyncio as well."""

    def __init__(self):
        self.here = threading.Event()

    def wait(self, timeout):
        if not self.here.wait(timeout):
            raise errors.RpcTimeout("late")
        return b"answer"

    def ready(self):
        return self.here.is_set()

    def cancel(self):
        return True


class AsyncReply(Reply):
    arrivals = 0

    async def arrive(self, timeout):
        self.arrivals += 1
        waited = 0.0
        while not self.here.is_set():
            await asyncio.sleep(0.005)
            waited += 0.005
            if timeout is not None and waited > timeout:
                raise errors.RpcTimeout("late")
        return b"answer"


@pytest.fixture(params=[Reply, AsyncReply])
def make(request):
    def future(value="a", timeout=5.0, error=None):
        def settle(answer):
            if error is not None:
                raise error
            return [value]

        call = PendingCall("7f", request.param(), Options(timeout), settle, lambda error: None)
        made = Future(call, 0, COUNT)
        made.reply = call._reply
        return made

    return future


def test_as_completed(make):
    first, second, third = make("a"), make("b"), make("c", error=KeyError("no"))
    second.reply.here.set()
    arriving = django_rpc.as_completed([first, second, third, first], timeout=5)
    assert next(arriving) is second
    third.reply.here.set()
    assert next(arriving) is third
    first.reply.here.set()
    assert list(arriving) == [first]
    assert list(django_rpc.as_completed([])) == []


def test_as_completed_in_time(make):
    done, late = make(), make()
    done.reply.here.set()
    arriving = django_rpc.as_completed([done, late], timeout=0.1)
    assert next(arriving) is done
    with pytest.raises(errors.RpcTimeout, match="1 of 2"):
        next(arriving)


def test_wait(make):
    good, bad, late = make(), make(error=KeyError("no")), make()
    good.reply.here.set()
    done, not_done = django_rpc.wait([good, late], return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, not_done) == ({good}, {late})
    bad.reply.here.set()
    found = django_rpc.wait([bad, late], return_when=concurrent.futures.FIRST_EXCEPTION)
    assert (found.done, found.not_done) == ({bad}, {late})
    assert django_rpc.wait([good, bad, late], timeout=0.1) == ({good, bad}, {late})
    late.reply.here.set()
    assert django_rpc.wait([good, bad, late]) == ({good, bad, late}, set())
    with pytest.raises(ValueError, match="FIRST_EXCEPTION"):
        django_rpc.wait([], return_when="SOON")


def test_many_waits_need_few_threads(make):
    before = threading.active_count()
    futures = [make(number) for number in range(200)]
    arriving = django_rpc.as_completed(futures, timeout=20)
    for future in futures:
        future.reply.here.set()
    assert {future.result() for future in arriving} == set(range(200))
    assert threading.active_count() - before <= 16 + 8 + 1


class Counts(Runner):
    """A runner that answers with the number of the message."""

    service = "rpc"
    timeout = None

    def __init__(self):
        self.stages = []

    def send(self, stage, timeout=None, priority=False):
        self.stages.append(stage)
        reply = AsyncReply()
        reply.here.set()
        values = [f"message {len(self.stages)}"] * len(stage.outputs)
        return PendingCall("8a", reply, Options(5.0), lambda answer: values, lambda error: None)


def test_gather(make):
    runner, sent = Counts(), make("sent")
    sent.reply.here.set()
    count = Delayed(ModelSource("shop.Order", "rpc", runner=runner)).count()
    values = django_rpc.gather(sent, count, [count + 1, 5], delayed(str)(count), timeout=5)
    assert values == ["sent", "message 1", ["message 1", 5], "message 1"]
    assert len(runner.stages) == 1
    assert django_rpc.gather() == []
    assert django_rpc.gather(sent, 1) == ["sent", 1]


def test_agather(make):
    runner, sent = Counts(), make("sent")
    count = Delayed(ModelSource("shop.Order", "rpc", runner=runner)).count()

    async def main():
        asyncio.get_running_loop().call_later(0.02, sent.reply.here.set)
        return await django_rpc.agather(sent, count, [count], delayed(str)(count), timeout=5)

    assert asyncio.run(main()) == ["sent", "message 1", ["message 1"], "message 1"]
    assert asyncio.run(django_rpc.agather()) == []


def test_agather_in_time(make):
    with pytest.raises(errors.RpcTimeout):
        asyncio.run(django_rpc.agather(make(), timeout=0.05))


def test_tasks_and_threads_await_same_call(make):
    future = make("value")

    async def main():
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(None, future.result, 5) for _ in range(2)]
        tasks = [asyncio.ensure_future(_of(future)) for _ in range(5)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        loop.call_later(0.02, future.reply.here.set)
        return await asyncio.gather(*threads, *tasks, return_exceptions=True)

    values = asyncio.run(main())
    assert isinstance(values.pop(2), asyncio.CancelledError)
    assert values == ["value"] * 6


def test_waiter_that_gives_up_is_replaced(make):
    future = make("value")

    async def main():
        impatient = asyncio.ensure_future(future._call.arrive(0.03))
        await asyncio.sleep(0)
        patient = asyncio.ensure_future(future._call.arrive(5))
        with pytest.raises(errors.RpcTimeout):
            await impatient
        future.reply.here.set()
        return await patient

    assert asyncio.run(main()) == ["value"]


def test_an_await_of_a_lost_call_times_out(make):
    with pytest.raises(errors.RpcTimeout):
        asyncio.run(_of(make(timeout=0.05)))


async def _of(future):
    return await future


def test_inboxes_of_event_loops_that_have_ended_are_forgotten():
    from django_rpc.transport import redis_list_async as redis_async

    async def awaits():
        box = redis_async.inbox("redis://127.0.0.1:1/0")
        assert await box.take("key", 0.01) is None  # it has a task by now, which knows the loop

    gc.collect()
    before = len(redis_async._inboxes)
    for _ in range(5):
        asyncio.run(awaits())
    gc.collect()
    assert len(redis_async._inboxes) <= before + 1  # the last one may still be held
