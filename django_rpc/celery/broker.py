"""Connections of a worker to its broker. A message that kombu or py-amqp cannot read is rejected alone.

kombu trusts the items of a Redis list, and py-amqp trusts the frames of a broker. Both raise in the worker's main
process for malformed data. The error ends the worker, or makes the broker deliver the message again without an end.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from queue import Empty
from typing import Any

from amqp import spec
from amqp.basic_message import Message
from amqp.method_framing import frame_handler
from celery.app.amqp import AMQP as CeleryAMQP
from kombu import Connection as KombuConnection

from django_rpc.celery.envelope import Malformed, read_delivery
from django_rpc.celery.rejected_messages import reject

__all__ = ["AMQP", "checked_transport"]

logger = logging.getLogger("django_rpc.server")

_METHOD, _HEADER = 1, 2
_FIXED_HEADER_BYTES = 12
_NO_PROPERTIES = b"\0\0"


class Connection(KombuConnection):
    """A connection with a transport that checks each message."""

    def get_transport_cls(self) -> Any:
        return checked_transport(super().get_transport_cls())


class AMQP(CeleryAMQP):
    """Celery's factory of connections, with the `Connection` of this module."""

    Connection = Connection


@functools.cache
def checked_transport(transport: Any) -> Any:
    """Return a subclass of a kombu transport class that survives malformed messages.

    Transports other than Redis and AMQP are returned unchanged.
    """
    if transport.driver_type == "redis":
        channel = type("Channel", (_RedisChannel, transport.Channel), {"QoS": _restoring(transport.Channel.QoS)})
        return type("Transport", (_RedisTransport, transport), {"Channel": channel})
    if transport.driver_name == "py-amqp":
        return type("Transport", (transport,), {"Connection": type("Connection", (_Frames, transport.Connection), {})})
    return transport


class _RedisTransport:
    """Delivers messages of the schema, and rejects all others."""

    Channel: Any

    def _deliver(self, message: Any, queue: str) -> Any:
        checked = read_delivery(message, queue, fanout=queue in self.Channel._fanout_queues)
        return super()._deliver(checked, queue)  # type: ignore[misc]


class _RedisChannel:
    """Reads the next item. An item that kombu cannot read has already left its list, so it is rejected."""

    connection_errors: tuple[type[BaseException], ...]
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        return self._guarded(super()._brpop_read, **options)  # type: ignore[misc]

    def _receive(self) -> Any:
        return self._guarded(super()._receive)  # type: ignore[misc]

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
    """Return a subclass of kombu's class for unacknowledged messages; it drops messages that it cannot return."""

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
    """A connection of py-amqp that ignores a malformed header table or malformed names in a frame."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, frame_handler=_tolerant_handler, **options)  # type: ignore[call-arg]  # the mixin precedes py-amqp's class

    def on_inbound_method(self, channel_id: int, method: tuple[int, int], payload: Any, content: Any) -> Any:
        if method == spec.Basic.Deliver:
            payload = _readable_names(payload)
        return super().on_inbound_method(channel_id, method, payload, content)  # type: ignore[misc]


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
