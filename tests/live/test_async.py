"""Many calls in flight in one event loop: no thread for each, on every way back."""

import asyncio
import threading
import time

import pytest

import django_rpc
from django_rpc import errors
from django_rpc.client.session import Session
from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.nodes import ModelSource

IN_FLIGHT = 200


def customers(live_rpc, **more):
    session = Session({**live_rpc.settings, **more})
    return Delayed(ModelSource("shop.Customer", "rpc", runner=session))


class Threads:
    """The largest number of threads while it was open, over those before."""

    def __enter__(self):
        self.before = threading.active_count()
        self.most = 0
        self.open = True
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()
        return self

    def watch(self):
        while self.open:
            self.most = max(self.most, threading.active_count() - self.before - 1)
            time.sleep(0.002)

    def __exit__(self, *exc_info):
        self.open = False
        self.watcher.join()


def test_200_awaits_in_flight(live_rpc):
    customer = customers(live_rpc)
    queries = [customer.filter(pk__lte=number).count() for number in range(IN_FLIGHT)]

    async def ask(query):
        return await query

    async def main():
        return await asyncio.gather(*map(ask, queries))

    expected = django_rpc.gather(*queries)
    with Threads() as threads:
        assert asyncio.run(main()) == expected
    # 4 that send; 16 more where the way back knows no asyncio.
    redis = live_rpc.settings["RESULT_BACKEND"].startswith("redis")
    assert threads.most <= (8 if redis else 4 + 16)


def test_a_loop_is_not_blocked_by_an_await(live_rpc):
    """A loop that an await blocks makes one or two turns during the call."""
    customer = customers(live_rpc)
    turns = 0

    async def watch():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        watcher = asyncio.ensure_future(watch())
        turns_of_calls = []
        for _ in range(20):
            before = turns
            await customer.count()
            turns_of_calls.append(turns - before)
        watcher.cancel()
        return sorted(turns_of_calls)

    assert asyncio.run(main())[10] > 10


def test_futures_and_local_functions_are_awaited(live_rpc):
    customer = customers(live_rpc)

    @delayed
    def half(number):
        return number // 2

    async def main():
        sent = customer.count().submit()
        plan = customer.filter(pk__lte=half(customer.count())).count()
        return await sent, await plan, await django_rpc.agather(sent, [plan], customer.count())

    count, below, gathered = asyncio.run(main())
    assert below == count // 2
    assert gathered == [count, [below], count]


def test_await_after_timeout(live_rpc):
    customer = customers(live_rpc, DEFAULT_QUEUE_NAME="django_rpc_nobody_listens", TIMEOUT=30)
    other = customers(live_rpc).count()

    async def main():
        lost = customer.count().submit()
        with pytest.raises(errors.RpcTimeout):
            await lost._call.arrive(0.2)
        return await other  # the way back still works

    assert asyncio.run(main()) > 0


def test_calls_in_successive_event_loops(live_rpc):
    customer = customers(live_rpc)

    async def main():
        return await customer.count()

    assert len({asyncio.run(main()) for _ in range(5)}) == 1


def test_as_completed_and_callbacks(live_rpc):
    customer = customers(live_rpc)
    futures = [customer.filter(pk__lte=number).count().submit() for number in range(50)]
    with Threads() as threads:
        arrived = list(django_rpc.as_completed(futures, timeout=15))
    assert set(arrived) == set(futures)
    assert sorted(future.result() for future in arrived)[-1] > 0
    assert threads.most <= 16 + 8 + 1


def test_reply_connection_breaks_and_returns(own_redis, start_service):
    with start_service(redis=own_redis) as service:
        customer = customers(service, TIMEOUT=15)

        async def main():
            first = await customer.count()
            own_redis.stop()
            with pytest.raises((errors.BrokerUnavailable, errors.ResultBackendUnavailable)):
                await django_rpc.agather(customer.count(), timeout=1)
            own_redis.start()
            return first, await customer.count()

        first, again = asyncio.run(main())
        assert first == again


def test_two_services_on_separate_brokers(own_redis, start_service):
    @delayed
    def half(number):
        return number // 2

    with start_service() as here, start_service(redis=own_redis) as there:
        customer = Delayed(ModelSource("shop.Customer", "here", runner=Session(here.settings, alias="here")))
        order = Delayed(ModelSource("shop.Order", "there", runner=Session(there.settings, alias="there")))
        some = customer.filter(pk__lte=half(customer.count())).values("pk")
        found = order.filter(customer__in=some).count()
        assert [stage.service for stage in found.plan().stages] == ["here", None, "here", "there"]
        expected = order.filter(customer__in=list(range(1, customer.count().compute() // 2 + 1))).count()
        assert found.compute() == expected.compute() > 0
        assert django_rpc.gather(found.submit(), [found + customer.count()])[0] == expected.compute()
        both = django_rpc.compute({"a": customer.count() + order.count()})
        assert both[0]["a"] == customer.count().compute() + order.count().compute()
