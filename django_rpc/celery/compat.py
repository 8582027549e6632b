"""Private names and workarounds of Celery, kombu, billiard, py-amqp and redis-py that a worker uses.

The other modules of this folder use such names only through this module. Each workaround states the upstream behavior
and the releases with it. Where no upstream issue is named, none is known. `PRIVATE_NAMES` lists the names, and
tests/celery/test_compat.py has a contract test for each name and each workaround.

kombu trusts the items of a Redis list, and py-amqp trusts the frames of a broker. Both raise in the main process of the
worker for malformed data. The error ends the worker, or makes the broker deliver the message again without an end. So
the transports of a worker reject such a message alone (`checked_transport`).
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any

from amqp import spec
from amqp.basic_message import Message
from amqp.method_framing import frame_handler
from amqp.transport import _AbstractTransport
from celery.app.amqp import AMQP as CeleryAMQP
from celery.worker import state
from kombu import Connection as KombuConnection

from django_rpc.celery.envelope import Malformed, read_delivery
from django_rpc.celery.rejected_messages import reject

__all__ = [
    "AMQP",
    "PRIVATE_NAMES",
    "checked_transport",
    "close_inherited",
    "forget_unacknowledged",
    "is_automatically_acknowledged",
    "is_stopped",
    "leave_to_broker",
    "redirect_acknowledgement",
    "replace_dead_processes",
    "restore_dead",
    "restore_unacknowledged",
    "tracks_visibility",
    "unacknowledged_tags",
]

logger = logging.getLogger("django_rpc.server")

#: Dotted path of a class -> its private or undocumented names that are used here. All exist in Celery and kombu 5.4 to
#: 5.7, billiard 4.2 to 4.3, py-amqp 5.2 to 5.4, and redis-py 5.0 to 8.1.
PRIVATE_NAMES: dict[str, tuple[str, ...]] = {
    "celery.worker.consumer.Consumer": (
        "restart_count",
        "loop_args",
        "create_task_handler",
        "on_decode_error",
        "on_invalid_task",
        "register_with_event_loop",
        "on_connection_error_after_connected",
    ),
    "celery.worker.request.Request": ("_already_revoked", "_already_cancelled", "_on_ack", "_on_reject"),
    "celery.concurrency.asynpool.AsynPool": ("_registered_with_event_loop", "maintain_pool"),
    "celery.concurrency.prefork.TaskPool": ("on_start",),  # sets `_pool`
    "kombu.message.Message": ("errors",),
    "kombu.transport.pyamqp.Connection": ("Channel",),
    "kombu.transport.pyamqp.Channel": ("Message", "no_ack_consumers"),
    "kombu.transport.virtual.Channel": ("Message", "QoS", "do_restore"),
    "kombu.transport.redis.Transport": ("_deliver",),
    "kombu.transport.redis.Channel": ("_brpop_read", "_receive", "_fanout_queues", "unacked_index_key"),
    "kombu.transport.redis.QoS": ("restore_visible", "restore_by_tag", "_remove_from_indices"),  # and `_delivered`
    "amqp.connection.Connection": ("on_inbound_method",),
    "amqp.transport._AbstractTransport": (),  # the attribute `sock` of its objects
    "redis.connection.AbstractConnection": ("disconnect",),  # and `_sock`
}


# -- transports that reject malformed messages ----------------------------------------------------


class Connection(KombuConnection):
    """A connection with a transport that checks each message."""

    def get_transport_cls(self) -> Any:
        return checked_transport(super().get_transport_cls())


class AMQP(CeleryAMQP):
    """Celery's factory of connections, with the `Connection` of this module."""

    Connection = Connection


@functools.cache
def checked_transport(transport: Any) -> Any:
    """Return a subclass of a kombu transport class that rejects compressed messages and survives malformed messages.

    A malformed message is a message of Redis or AMQP that kombu or py-amqp cannot read. Transports without a class of
    messages are returned unchanged.
    """
    if hasattr(transport, "Channel"):  # a virtual transport, such as Redis
        bases: tuple[Any, ...] = (transport.Channel,)
        if transport.driver_type == "redis":
            channel = _without_compression(_RedisChannel, *bases, QoS=_restoring(transport.Channel.QoS))
            return type("Transport", (_RedisTransport, transport), {"Channel": channel})
        return type("Transport", (transport,), {"Channel": _without_compression(*bases)})
    connection: Any = getattr(transport, "Connection", None)
    if not hasattr(getattr(connection, "Channel", None), "Message"):
        return transport
    bases = (_Frames, connection) if transport.driver_name == "py-amqp" else (connection,)
    checked = type("Connection", bases, {"Channel": _without_compression(connection.Channel)})
    return type("Transport", (transport,), {"Connection": checked})


def _without_compression(*bases: Any, **attributes: Any) -> Any:
    message = type("Message", (_UncompressedMessage, bases[-1].Message), {})
    return type("Channel", bases, {"Message": message, **attributes})


class _UncompressedMessage:
    """A message that kombu does not decompress; a compressed message has an error instead of a body.

    kombu (all releases) decompresses each message with a header ``compression`` in the main process of the worker, so a
    small message could fill its memory. No setting turns this off. kombu does not decompress a message with an error.
    """

    headers: Any
    errors: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self.errors = [(Malformed, Malformed("it is compressed"), None)]
        super().__init__(*args, **options)
        if not self.headers.get("compression"):
            del self.errors[0]


_HEADER = 2
_FIXED_HEADER_BYTES = 12
_NO_PROPERTIES = b"\0\0"


class _RedisTransport:
    """Delivers messages of the schema, and rejects all others.

    kombu (all releases) raises a KeyError for an item without a property, and trusts the exchange in an item.
    """

    Channel: Any

    def _deliver(self, message: Any, queue: str) -> Any:
        checked = read_delivery(message, queue, fanout=queue in self.Channel._fanout_queues)
        return super()._deliver(checked, queue)  # type: ignore[misc]  # a mixin


class _RedisChannel:
    """Reads the next item. An item that kombu cannot read has already left its list, so it is rejected.

    In kombu (all releases) the error of an item that is not JSON ends the worker.
    """

    connection_errors: tuple[type[BaseException], ...]
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        return self._guarded(super()._brpop_read, **options)  # type: ignore[misc]  # a mixin

    def _receive(self) -> Any:
        return self._guarded(super()._receive)  # type: ignore[misc]  # a mixin

    def _guarded(self, read: Callable[..., Any], **options: Any) -> Any:
        expected = (Empty, *self.connection_errors, *self.connection.channel_errors)
        try:
            return read(**options)
        except expected:
            raise
        except Malformed as error:
            reject(str(error))
        except Exception as error:  # noqa: BLE001 - kombu may raise any error for a text from an unknown program
            reject(f"it cannot be read ({type(error).__name__})")
        return True


def _restoring(qos: Any) -> Any:
    """Return a subclass of kombu's class for unacknowledged messages; it drops messages that it cannot restore.

    In kombu (all releases) an unreadable message stays in the hash of unacknowledged messages, and each attempt to
    restore it ends the worker.
    """

    class QoS(qos):
        def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> Any:
            try:
                return super().restore_by_tag(tag, client, leftmost)
            except (*self.channel.connection_errors, *self.channel.connection.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._remove_from_indices(tag).execute()
                reject(f"it is unacknowledged and cannot be given back ({type(error).__name__})")

    return QoS


class _Frames:
    """A connection of py-amqp that ignores a malformed header table or malformed names in a frame.

    py-amqp (all releases) raises their errors in the loop of the worker, and the broker delivers the message again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, frame_handler=_tolerant_handler, **options)  # type: ignore[call-arg]  # the mixin precedes py-amqp's class

    def on_inbound_method(self, channel_id: int, method: tuple[int, int], payload: Any, content: Any) -> Any:
        if method == spec.Basic.Deliver:
            payload = _readable_names(payload)
        return super().on_inbound_method(channel_id, method, payload, content)  # type: ignore[misc]  # a mixin


def _tolerant_handler(connection: Any, callback: Any) -> Callable[[Any], bool]:
    on_frame = frame_handler(connection, callback)

    def handle(frame: Any) -> bool:
        try:
            return bool(on_frame(frame))
        except Exception:
            kind, channel, buffer = frame
            if kind != _HEADER or _is_readable(buffer):
                raise  # raised by the receiver of the message
        return bool(on_frame((kind, channel, bytes(buffer[:_FIXED_HEADER_BYTES]) + _NO_PROPERTIES)))

    return handle


def _is_readable(header: Any) -> bool:
    try:
        Message().inbound_header(header)
    except Exception:  # noqa: BLE001 - struct.error, UnicodeDecodeError, OverflowError, FrameSyntaxError ...
        return False
    return True


def _readable_names(payload: Any) -> Any:
    """Return the arguments of a delivery; an exchange or routing key that is not UTF-8 becomes question marks."""
    # A method id of 4 bytes, the consumer tag after its length, the delivery tag of 8 bytes, one byte of flags.
    start = 4 + 1 + payload[4] + 8 + 1
    exchange = slice(start + 1, start + 1 + payload[start])
    key = slice(exchange.stop + 1, exchange.stop + 1 + payload[exchange.stop])
    for place in (exchange, key):
        try:
            str(payload[place], "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            payload = bytearray(payload)
            payload[place] = b"?" * (place.stop - place.start)
    return payload


# -- processes of the pool ------------------------------------------------------------------------


def replace_dead_processes(consumer: Any) -> None:
    """Replace dead processes of the pool before Celery watches the processes again after a reconnection.

    Celery 5.4 to 5.7 does not notice a process that dies while the broker is unavailable. It ends the worker with a
    ValueError (an invalid file descriptor, as in celery/celery#5782) when it watches that process again.

    A pool that has never been watched does not free the queues of a dead process, so it cannot replace the process. It
    does so when it is watched and detects that the process has ended.
    """
    pool: Any = getattr(consumer.pool, "_pool", None)
    if consumer.hub and getattr(pool, "_registered_with_event_loop", False):
        pool.maintain_pool()


def close_inherited(parent: int) -> int:
    """Close the copies of sockets to the broker and to Redis in a process that ``parent`` forked; return their number.

    billiard (all releases) forks a process that replaces a dead process from the working main process, with copies of
    all its sockets. The copies would stay open for the lifetime of the process, even after the main process and the
    broker close the connection. The connections of the parent are not affected: nothing is written or shut down. In
    ``parent`` this does nothing.
    """
    if os.getpid() == parent:  # pools of threads send the same signal as pools of processes
        return 0
    closed = 0
    # A worker that uses Redis has imported redis-py before it forks. Other workers do not need redis-py.
    redis = sys.modules.get("redis.connection")
    redis_connection = () if redis is None else redis.AbstractConnection
    for candidate in gc.get_objects():
        kind = type(candidate)  # isinstance() would evaluate Django's lazy objects
        if issubclass(kind, redis_connection) and getattr(candidate, "_sock", None) is not None:
            candidate.disconnect()  # it detects that another process created it
        elif issubclass(kind, _AbstractTransport) and candidate.sock is not None:
            candidate.sock.close()
            candidate.sock = None
        else:
            continue
        closed += 1
    return closed


# -- acknowledgement ------------------------------------------------------------------------------


def is_stopped(request: Any) -> bool:
    """Return True for a request of Celery that was revoked or cancelled; there is no public attribute."""
    return bool(request._already_revoked or request._already_cancelled)


def is_automatically_acknowledged(message: Any) -> bool:
    """Return True for a message that the broker forgot at its delivery; a rejection would close its channel."""
    automatic = getattr(message.channel, "no_ack_consumers", None) or ()
    return message.delivery_info.get("consumer_tag") in automatic


def leave_to_broker(channel: Any) -> list[Any]:
    """Leave the unacknowledged messages of a broken connection to the broker; return the requests in work.

    kombu 5.7 restores unacknowledged messages, and later acknowledges them, over a channel of Redis that it has already
    closed, so the worker ends with an AttributeError (similar: celery/kombu#970). A broken connection can do neither.
    So a message that no process has started is left to the broker, which delivers it again. Messages in work need
    another connection (`redirect_acknowledgement`).
    """
    if not hasattr(channel, "do_restore"):  # only channels that emulate acknowledgements
        return []
    channel.do_restore = False
    requests = tuple(state.reserved_requests)  # includes the requests in work
    for request in requests:
        if request not in state.active_requests:
            request.acknowledged = True
    return [request for request in requests if request in state.active_requests]


def redirect_acknowledgement(request: Any, acknowledge: Callable[..., None], refuse: Callable[..., None]) -> None:
    """Replace the functions by which a request of Celery acknowledges or rejects its message."""
    request._on_ack, request._on_reject = acknowledge, refuse


# -- unacknowledged messages on Redis -------------------------------------------------------------


def tracks_visibility(channel: Any) -> bool:
    """Return True for a channel of Redis with emulated acknowledgements; `restore_visible` of others does nothing."""
    return hasattr(getattr(channel, "qos", None), "_remove_from_indices")


def unacknowledged_tags(channel: Any) -> Iterable[Any]:
    """Return the delivery tags of the messages that arrived over the channel and were not acknowledged."""
    return list(channel.qos._delivered)


def forget_unacknowledged(channel: Any, tag: Any) -> None:
    """Acknowledge a message that arrived over another connection."""
    channel.qos._remove_from_indices(tag).execute()


def restore_unacknowledged(channel: Any, tag: Any) -> None:
    """Put a message that arrived over another connection at the front of its queue."""
    channel.qos.restore_by_tag(tag, leftmost=True)


def restore_dead(channel: Any, count: int) -> None:
    """Put up to ``count`` messages back that no worker has renewed within the visibility timeout.

    kombu does this in each tenth call of a timer of 10 s. Since celery/kombu#2558 (after 5.6) options set both numbers.
    """
    channel.qos.restore_visible(num=count, interval=1)
