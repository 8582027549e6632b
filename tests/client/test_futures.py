import asyncio
import concurrent.futures
import threading

import pytest

from django_rpc import errors
from django_rpc.client.futures import Future, PendingCall
from django_rpc.graph.nodes import Literal, Method, ModelSource
from django_rpc.graph.values import freeze
from django_rpc.transport import base
from django_rpc.transport.base import Options

SHOP = ModelSource(model="shop.Order", service="rpc")
COUNT = Method(parent=SHOP, name="count")


class Reply(base.Reply):
    def __init__(self):
        self.here = threading.Event()
        self.waits = 0
        self.revocable = False

    def wait(self, timeout):
        self.waits += 1
        if not self.here.wait(timeout):
            raise errors.RpcTimeout("late")
        return b"answer"

    def ready(self):
        return self.here.is_set()

    def cancel(self):
        return self.revocable


class Case:
    """A call of two outputs with its futures, its reply and how it ended."""

    def __init__(self, timeout=5.0, settle=lambda answer: ["a", "b"]):
        self.reply = Reply()
        self.ends = []
        self.call = PendingCall("7f", self.reply, Options(timeout), settle, self.ends.append)
        self.first = Future(self.call, 0, COUNT, lambda value: [value])
        self.second = Future(self.call, 1, COUNT)


@pytest.fixture
def case():
    return Case()


def test_a_result_is_remembered_and_shared(case):
    assert case.first.running()
    case.reply.here.set()
    assert case.first.done()
    assert case.first.result() is case.first.result()
    assert case.second.result(timeout=1) == "b"
    assert case.reply.waits == 1
    assert case.ends == [None]
    assert case.first.exception() is None
    assert case.first.request_id == "7f"


def test_result_after_timeout(case):
    with pytest.raises(errors.RpcTimeout):
        case.first.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        case.first.exception(timeout=0.01)
    case.reply.here.set()
    assert case.first.result() == ["a"]
    assert [type(end) for end in case.ends] == [errors.RpcTimeout, errors.RpcTimeout, type(None)]


def test_default_timeout_is_that_of_the_call():
    case = Case(timeout=0.02)
    with pytest.raises(errors.RpcTimeout):
        case.first.result()
    case.reply.here.set()
    assert case.first.result() == ["a"]  # long after the call's time-out, the answer is there


def test_an_error_is_remembered():
    def settle(answer):
        raise KeyError("no")

    case = Case(settle=settle)
    case.reply.here.set()
    for future in (case.first, case.second):
        with pytest.raises(KeyError):
            future.result()
    assert isinstance(case.first.exception(), KeyError)
    assert case.reply.waits == 1


def test_threads_wait_for_same_answer(case):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(case.first.result, 5) for _ in range(8)]
        case.reply.here.set()
        values = [future.result() for future in waiting]
    assert all(value is values[0] for value in values)
    assert case.reply.waits == 1


def test_short_timeout_next_to_long_timeout(case):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(case.first.result, 5)
        while not case.reply.waits:
            pass
        with pytest.raises(errors.RpcTimeout):
            case.second.result(timeout=0.05)
        case.reply.here.set()
        assert long.result() == ["a"]


def test_cancel(case):
    assert not case.first.cancel()
    case.reply.revocable = True
    assert case.first.cancel()
    assert case.second.cancelled()  # one message
    assert case.first.done()
    with pytest.raises(concurrent.futures.CancelledError):
        case.second.result()
    with pytest.raises(errors.CallCancelled):
        case.second.exception()


def test_cancel_wakes_waiting_threads(case):
    case.reply.revocable = True
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(case.first.result, 0.2)
        while not case.reply.waits:
            pass
        assert case.first.cancel()
        with pytest.raises(errors.CallCancelled):
            waiting.result()


def test_add_callback_during_cancellation(case):
    asked, answered = threading.Event(), threading.Event()

    def ask_workers():
        asked.set()
        return answered.wait(10)

    case.reply.cancel = ask_workers
    canceller = threading.Thread(target=case.first.cancel)
    canceller.start()
    assert asked.wait(10)
    adder = threading.Thread(target=case.second.add_done_callback, args=(lambda future: None,))
    adder.start()
    adder.join(5)
    assert not adder.is_alive()
    answered.set()
    canceller.join(10)
    assert case.second.cancelled()


def test_a_finished_call_is_not_cancelled(case):
    case.reply.here.set()
    case.first.result()
    case.reply.revocable = True
    assert not case.first.cancel()


def test_callbacks(case):
    called = concurrent.futures.Future()
    case.first.add_done_callback(called.set_result)
    case.reply.here.set()
    assert called.result(timeout=5) is case.first
    late = concurrent.futures.Future()
    case.first.result()
    case.first.add_done_callback(late.set_result)
    assert late.result(timeout=0) is case.first


def test_callbacks_after_a_timeout():
    case = Case(timeout=0.02)
    called = concurrent.futures.Future()
    case.first.add_done_callback(lambda future: called.set_result(future.exception(timeout=0)))
    assert isinstance(called.result(timeout=5), errors.RpcTimeout)


def test_error_in_callback_is_contained(case, caplog):
    done = threading.Event()
    case.first.add_done_callback(lambda future: 1 / 0)
    case.first.add_done_callback(lambda future: done.set())
    case.reply.here.set()
    assert done.wait(5)
    assert "callback" in caplog.text


def test_a_future_can_be_awaited(case):
    async def main():
        asyncio.get_running_loop().call_later(0.01, case.reply.here.set)
        return await asyncio.gather(case.first, case.second)

    assert asyncio.run(main()) == [["a"], "b"]


def test_a_future_as_an_argument_is_its_expression(case):
    assert freeze(case.second) is COUNT
    assert case.reply.waits == 0


def test_a_write_as_an_argument_is_its_value(case):
    case.reply.here.set()
    write = Future(case.call, 1, Method(parent=SHOP, name="create", kwargs={"total": 1}))
    node = freeze(write)
    assert isinstance(node, Literal)
    assert node.value == "b"


# Standard tools


def test_future_implements_concurrent_futures(case):
    assert isinstance(case.first, concurrent.futures.Future)
    assert Future[int] is not Future  # as a type


def test_concurrent_futures_wait(case):
    other = Case()
    both = {case.first, other.second}
    assert concurrent.futures.wait(both, timeout=0.01) == (set(), both)
    other.reply.here.set()
    waited = concurrent.futures.wait(both, timeout=5, return_when=concurrent.futures.FIRST_COMPLETED)
    assert waited == ({other.second}, {case.first})
    case.reply.here.set()
    assert concurrent.futures.wait(both, timeout=5) == (both, set())
    assert concurrent.futures.wait(both, timeout=0) == (both, set())
    assert {future.result(0) for future in [other.second]} == {"b"}


def test_concurrent_futures_wait_for_done_futures(case):
    case.reply.here.set()
    case.first.result()
    assert concurrent.futures.wait([case.first, case.second], timeout=5) == ({case.first, case.second}, set())


def test_concurrent_futures_wait_ends_with_the_first_error(case):
    failing = Case(settle=lambda answer: 1 / 0)
    failing.reply.here.set()
    waited = concurrent.futures.wait(
        [case.first, failing.first], timeout=5, return_when=concurrent.futures.FIRST_EXCEPTION
    )
    assert waited == ({failing.first}, {case.first})
    assert isinstance(failing.first.exception(), ZeroDivisionError)


def test_concurrent_futures_as_completed(case):
    other, ours = Case(), concurrent.futures.Future()
    found = concurrent.futures.as_completed([case.first, other.first, ours, case.first], timeout=5)
    other.reply.here.set()
    assert next(found) is other.first
    ours.set_result(1)
    assert next(found) is ours
    case.reply.here.set()
    assert list(found) == [case.first]
    with pytest.raises(TimeoutError):
        list(concurrent.futures.as_completed([Case().first], timeout=0.01))


def test_concurrent_futures_wait_for_a_call_that_is_cancelled(case):
    case.reply.revocable = True
    threading.Timer(0.05, case.first.cancel).start()
    assert concurrent.futures.wait([case.first, case.second], timeout=5).not_done == set()
    assert case.second.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        case.second.exception()
    cancelled_before = Case()
    cancelled_before.reply.revocable = True
    assert cancelled_before.first.cancel()
    assert concurrent.futures.wait([cancelled_before.first], timeout=5).not_done == set()


def test_concurrent_futures_wait_ends_when_the_call_times_out():
    case = Case(timeout=0.02)
    assert concurrent.futures.wait([case.first], timeout=5).done == {case.first}
    assert case.first.done()
    assert isinstance(case.first.exception(timeout=0), errors.RpcTimeout)
    case.reply.here.set()
    assert case.first.result() == ["a"]  # it may be late


def test_asyncio_wrap_future(case):
    async def main():
        asyncio.get_running_loop().call_later(0.01, case.reply.here.set)
        first, second = asyncio.wrap_future(case.first), asyncio.wrap_future(case.second)
        done, pending = await asyncio.wait([first, second], timeout=5)
        return await first, await second, len(done), pending

    assert asyncio.run(main()) == (["a"], "b", 2, set())


def test_asyncio_wrap_future_of_a_call_that_fails():
    failing, late = Case(settle=lambda answer: {}["x"]), Case(timeout=0.02)

    async def main():
        failing.reply.here.set()
        return await asyncio.gather(
            asyncio.wrap_future(failing.first), asyncio.wrap_future(late.first), return_exceptions=True
        )

    assert [type(error) for error in asyncio.run(main())] == [KeyError, errors.RpcTimeout]


def test_asyncio_cancellation_reaches_the_call(case):
    case.reply.revocable = True

    async def main():
        wrapped = asyncio.wrap_future(case.first)
        wrapped.cancel()
        await asyncio.sleep(0)
        return wrapped.cancelled()

    assert asyncio.run(main())
    assert case.first.cancelled()


def test_asyncio_wait_for(case):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(case.first, 0.01)
        case.reply.here.set()
        return await asyncio.wait_for(case.second, 5)

    assert asyncio.run(main()) == "b"


def test_no_thread_without_waiting_caller(case):
    case.call.when_done = lambda callback: pytest.fail("watched")
    case.reply.here.set()
    assert (case.first.result(), case.second.result(), case.first.done()) == (["a"], "b", True)
