"""Workers with a pool of threads or greenlets, which share the resources of each process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from redis import Redis

from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource

CUSTOMERS, ROWS = ModelSource("shop.Customer", "rpc"), ModelSource("rpc_server.ServerModel", "rpc")
MINE = Method(ROWS, "filter", (), {"some_field": "of a pool"})
CALLERS = 8


def get(session, number):
    [found] = session.compute([Output(Method(CUSTOMERS, "get", (), {"pk": number}))])
    return found.values[found.fields.index("id")]


def write(session, number):
    session.compute([Output(Method(ROWS, "create", (), {"some_field": "of a pool", "other_field": number}))])


def numbers(session):
    mine = Method(MINE, "values_list", ("other_field",), {"flat": True})
    return sorted(session.compute([Output(mine)])[0])


@pytest.mark.parametrize(("pool", "name"), [("threads", "rabbitmq-postgresql"), ("gevent", "redis-sqlite")])
def test_calls_at_the_same_time(start_service, own_redis, pool, name):
    with start_service(name, redis=own_redis, pool=pool, concurrency=CALLERS) as service:
        session, process = Session(service.settings), psutil.Process(service.worker.pid)
        session.compute([Output(Method(MINE, "delete"))])
        files = []
        for turn in range(3):
            with ThreadPoolExecutor(CALLERS) as callers:
                some = range(1, 13)
                assert list(callers.map(lambda number: get(session, number), some)) == list(some)
                list(callers.map(lambda number: write(session, number), range(turn * 8, turn * 8 + 8)))
            files.append(process.num_fds())
            with Redis.from_url(own_redis.url) as client:  # as a server closes idle connections
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        assert numbers(session) == list(range(24))
        # A closed connection is noticed at its next use: the pool does not grow with each repetition.
        assert files[2] <= files[1] + CALLERS // 2, files
        assert service.worker.alive
