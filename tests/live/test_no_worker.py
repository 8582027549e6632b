"""A queue without a worker, and a result backend that is not the worker's: errors within seconds, with the settings."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid

import pytest
from redis import Redis

from django_rpc import errors
from django_rpc.client.session import Session
from django_rpc.demo import environment
from django_rpc.demo.services import free_port, worker

from .conftest import remove_queues
from .test_weather import PYTHONPATH, echo, echo_service, sleep, within

#: A call without a worker fails within this many seconds.
FAST = 2.0


@pytest.fixture(params=["redis", "rabbitmq-redis", "rabbitmq-rpc"])
def addresses(request, redis):
    """The URLs of broker and result backend."""
    broker, _, backend = request.param.partition("-")
    broker_url = redis.url if broker == "redis" else request.getfixturevalue("rabbitmq_url")
    return broker_url, "rpc://" if backend == "rpc" else redis.url


@pytest.fixture
def lonely(addresses):
    """A session with a queue that no worker consumes."""
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    settings = {"BROKER_URL": addresses[0], "RESULT_BACKEND": addresses[1], "DEFAULT_QUEUE_NAME": queue}
    yield Session({**settings, "TIMEOUT": 30})
    remove_queues(addresses[0], [queue])


def test_a_call_to_a_queue_without_a_worker_fails_fast(lonely):
    with within(FAST, errors.NoWorker) as caught:
        lonely.compute([echo(1)])
    text = str(caught.value)
    assert lonely.config.default_queue in text
    assert "celery -A django_rpc.celery.app worker -Q" in text
    assert lonely.config.broker_url.rpartition("@")[2].rpartition("//")[2].rstrip("/") in text
    assert "guest:guest" not in text
    assert caught.value.request_id
    assert isinstance(caught.value, errors.RpcTimeout)


def test_the_next_calls_fail_at_once(lonely):
    with pytest.raises(errors.NoWorker):
        lonely.compute([echo(1)])
    with within(0, errors.NoWorker):
        for _ in range(5):
            with pytest.raises(errors.NoWorker):
                lonely.compute([echo(1)])
        lonely.compute([echo(1)])


def test_futures_and_awaits_fail_fast_as_well(lonely):
    futures = [lonely.submit([echo(number)])[0] for number in range(3)]
    with within(FAST, errors.NoWorker):
        futures[0].result()

    async def main():
        return await asyncio.gather(*lonely.submit([echo(1)]), return_exceptions=True)

    started = time.monotonic()
    [error] = asyncio.run(main())
    assert type(error) is errors.NoWorker
    assert time.monotonic() - started < FAST + 1


def test_a_short_timeout_still_counts(lonely):
    with within(0.2, errors.RpcTimeout):
        lonely.compute([echo(1)], timeout=0.2)


def test_a_call_waits_for_a_worker_that_starts_within_the_grace(addresses):
    with echo_service(*addresses) as service:
        settings = {**service.settings, "WORKER_GRACE": 60, "TIMEOUT": 60}
        queue = service.settings["DEFAULT_QUEUE_NAME"]
        service.worker.stop()
        [future] = Session(settings).submit([echo(1)])
        time.sleep(2.5)
        assert not future.done()
        env = environment.variables(broker=addresses[0], backend=addresses[1], queue=queue, database="sqlite://")
        with worker("echo_settings", {**env, "PYTHONPATH": PYTHONPATH}, app="echo_worker"):
            assert future.result() == 1


def test_a_busy_worker_is_not_absent(addresses):
    """Not even where the process that works is the process that consumes."""
    with echo_service(*addresses, pool="solo", concurrency=1) as service:
        session = service.session(TIMEOUT=30)
        session.submit([sleep(6)])
        assert session.compute([echo("after")]) == ["after"]


def test_a_worker_that_was_killed_is_absent_within_seconds(addresses):
    with echo_service(*addresses) as service:
        session = service.session(TIMEOUT=30)
        assert session.compute([echo(1)]) == [1]
        service.worker.kill()
        with within(6, errors.NoWorker):
            session.compute([echo(1)])


def test_a_worker_that_was_stopped_is_absent_within_seconds(redis):
    """Also a worker of threads, although its key lives longer."""
    with echo_service(redis.url, redis.url, pool="threads") as service:
        session = service.session(TIMEOUT=30)
        assert session.compute([echo(1)]) == [1]
        service.worker.stop()
        with within(6, errors.NoWorker):
            session.compute([echo(1)])


def test_a_worker_that_shuts_down_while_it_works_is_not_absent(addresses):
    with echo_service(*addresses, concurrency=1) as service:
        [future] = service.session(TIMEOUT=30).submit([sleep(5)])
        time.sleep(0.5)
        stopping = threading.Thread(target=service.worker.stop)
        stopping.start()
        assert future.result() > 0
        stopping.join()


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_another_database_of_redis_than_the_workers_is_reported(broker, redis, request):
    broker_url = redis.url if broker == "redis" else request.getfixturevalue("rabbitmq_url")
    wrong = redis.url.removesuffix("/0") + "/7"
    with echo_service(broker_url, redis.url) as service:
        with within(4, errors.ResultBackendUnavailable) as caught:
            service.session(RESULT_BACKEND=wrong, TIMEOUT=30).compute([echo(1)])
        assert wrong in str(caught.value)
        assert "RESULT_BACKEND" in str(caught.value)
        if broker == "redis":
            assert redis.url in str(caught.value)
        assert service.serves()


def test_a_worker_without_a_redis_of_answers_is_reported(rabbitmq_url, redis):
    with echo_service(rabbitmq_url, "rpc://") as service:
        with within(4, errors.ResultBackendUnavailable) as caught:
            service.session(RESULT_BACKEND=redis.url, TIMEOUT=30).compute([echo(1)])
        assert redis.url in str(caught.value)


def test_a_worker_answers_by_rpc_where_the_client_waits_there(rabbitmq_url, redis):
    """The client names its reply queue, so the worker needs no setting for it."""
    with echo_service(rabbitmq_url, redis.url) as service:
        assert service.session(RESULT_BACKEND="rpc://").compute([echo(1)], timeout=10) == [1]


def test_a_result_backend_that_refuses_is_reported_before_anything_is_sent(redis):
    wrong = f"redis://:secret@127.0.0.1:{free_port()}/0"
    session = Session(
        {"BROKER_URL": redis.url, "RESULT_BACKEND": wrong, "DEFAULT_QUEUE_NAME": f"unused_{uuid.uuid4().hex}"}
    )
    with within(2, errors.ResultBackendUnavailable) as caught:
        session.compute([echo(1)])
    text = str(caught.value)
    assert "RESULT_BACKEND" in text
    assert wrong.rpartition("@")[2] in text
    assert "secret" not in text
    assert "was not sent" in text
    with Redis.from_url(redis.url) as connection:
        assert not connection.exists(session.config.default_queue)


def test_a_database_number_that_redis_does_not_have_is_reported(redis):
    wrong = redis.url.removesuffix("/0") + "/9999"
    session = Session({"BROKER_URL": redis.url, "RESULT_BACKEND": wrong})
    with within(2, errors.ResultBackendUnavailable) as caught:
        session.compute([echo(1)])
    assert wrong in str(caught.value)
