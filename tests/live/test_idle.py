"""Hours without a call: the servers have closed the connections meanwhile, and the next call does not notice."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest
from redis import Redis

from django_rpc import errors
from django_rpc.client.session import Output
from django_rpc.graph.nodes import Method

from .test_weather import ECHO, Proxy, echo, echo_service

#: A write: it is sent once, so the way has to be good before it is sent.
WRITE = Output(Method(parent=ECHO, name="delete"))


#: "CONNECTION_FORCED", on channel 0: RabbitMQ's message when it closes a connection itself.
_CLOSE = struct.pack(">HHHB17sHH", 10, 50, 320, 17, b"CONNECTION_FORCED", 0, 0)
GOODBYE = b"\x01" + struct.pack(">HI", 0, len(_CLOSE)) + _CLOSE + b"\xce"


@pytest.fixture(params=["redis", "rabbitmq-redis", "rabbitmq-rpc", "rabbitmq-rpc-told"])
def idle(request, own_redis):
    """A session on a service, and a function that closes the connections of both ends as a server would."""
    broker, backend, told = (*request.param.split("-"), "", "")[:3]
    relay = None
    address = own_redis.url
    if broker == "rabbitmq":
        relay = Proxy(request.getfixturevalue("rabbitmq_url"), 5672)
        address = relay.url

    def close():
        with Redis.from_url(own_redis.url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        if relay is not None:
            if told:
                relay.tell(GOODBYE)
            relay.cut()
        time.sleep(0.3)

    try:
        with echo_service(address, "rpc://" if backend == "rpc" else own_redis.url) as service:
            yield service.session(TIMEOUT=15), close
    finally:
        if relay is not None:
            relay.close()


def test_a_write_after_the_servers_closed_all_connections(idle):
    session, close = idle
    for _ in range(3):
        with pytest.raises(errors.RemoteError, match="none left"):
            session.compute([WRITE])
        close()
    futures = [session.submit([echo(number)])[0] for number in range(5)]
    assert [future.result() for future in futures] == list(range(5))


def test_awaits_after_the_servers_closed_all_connections(idle):
    session, close = idle

    async def main():
        for number in range(3):
            assert await asyncio.gather(*session.submit([echo(number), echo("b")])) == [number, "b"]
            await asyncio.to_thread(close)

    asyncio.run(main())


def test_redis_closes_idle_connections(own_redis):
    """``timeout``, which many installations set; the worker's side is idle as long."""
    with echo_service(own_redis.url, own_redis.url) as service:
        session = service.session()
        assert session.compute([echo(1)]) == [1]
        with Redis.from_url(own_redis.url) as client:
            client.config_set("timeout", 1)
            time.sleep(3.5)
            assert client.info("clients")["connected_clients"] < 10
        with pytest.raises(errors.RemoteError, match="none left"):
            session.compute([WRITE])
        assert session.compute([echo(2)]) == [2]
