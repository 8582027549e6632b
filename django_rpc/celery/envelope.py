"""Closed schema of the messages that a worker accepts, checked before kombu or Celery uses any part of a message.

A message has three parts. The delivery is added by the broker's transport (`read_delivery`, for Redis, where any
program can write the JSON of a list item). The headers are Celery's task protocol, and the body is the call
(`read_task`). Each part is rebuilt from the values that the schema allows. Nothing else of a message reaches Celery: no
stamps, signatures, time limits, retries or start times.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from celery.app.task import Context

from django_rpc.wire.names import TASK_NAME

__all__ = ["MAX_BODY", "Malformed", "Task", "TaskHeaders", "extra_headers", "read_delivery", "read_task"]

#: Maximum number of bytes of a body. JSON inside JSON needs at most six bytes for each byte of the request.
MAX_BODY = 512 * 1024 * 1024

_Text = Annotated[str, msgspec.Meta(max_length=255)]
_TaskId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,255}\Z")]
_Int = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
_EXTRA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_EXTRA_LENGTH, _EXTRA_COUNT = 8192, 64
#: Names of headers with a meaning for Celery, kombu or this worker. The headers that Celery needs are rebuilt.
_RESERVED = frozenset(
    {"task", "lang", "argsrepr", "kwargsrepr", "compression", "redelivered", "clock", "sentinel"}
    | {"django_rpc_finish", "properties", "timelimit", "expires", "id"}
)
_NO_SIGNATURES = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Malformed(Exception):
    """A message does not have the form that a worker accepts; the text names the part and the reason."""


class _DeliveryInfo(msgspec.Struct):
    exchange: _Text = ""
    routing_key: _Text = ""
    redelivered: bool = False


class _Properties(msgspec.Struct):
    delivery_tag: _Text
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64", "utf-8"] | None = None
    correlation_id: _Text | None = None
    reply_to: _Text | None = None
    priority: _Int | None = None
    delivery_mode: _Int | None = None


class _Delivery(msgspec.Struct, rename={"content_type": "content-type", "content_encoding": "content-encoding"}):
    body: str
    properties: _Properties
    headers: dict[str, Any] | None = None
    content_type: _Text | None = None
    content_encoding: _Text | None = None


class _Headers(msgspec.Struct):
    task: _Name
    id: _TaskId
    expires: _Text | None = None
    root_id: _Text | None = None
    parent_id: _Text | None = None
    ignore_result: bool | None = None


class _TaskProperties(msgspec.Struct):
    reply_to: _Text | None = None
    correlation_id: _Text | None = None
    priority: _Int | None = None


class _Keywords(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    reply_to: _Text | None = None
    token: str | None = None


class _Signatures(msgspec.Struct, forbid_unknown_fields=True):
    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


class _NoKeywords(msgspec.Struct, forbid_unknown_fields=True):
    pass


_read_call = msgspec.json.Decoder(tuple[tuple[str], _Keywords, _Signatures | None]).decode
_read_no_arguments = msgspec.json.Decoder(tuple[tuple[()], _NoKeywords, _Signatures | None]).decode
#: A string with half of a surrogate pair has no UTF-8 form.
_CONVERT_ERRORS = (msgspec.ValidationError, UnicodeEncodeError)
_encode = msgspec.json.Encoder().encode


class TaskHeaders(dict[str, Any]):
    """Headers made by `read_task`."""


class Task(msgspec.Struct, frozen=True):
    """The parts of a task message for Celery; every value has the type that Celery expects."""

    headers: TaskHeaders
    properties: dict[str, Any]
    body: bytes


def read_delivery(raw: Any, queue: str, *, fanout: bool) -> dict[str, Any]:
    """Return an item of a Redis list or channel in kombu's form; raises Malformed.

    The delivery tag is new, because two messages with the same tag would be acknowledged together. A message of a task
    queue returns to that queue; the exchange in the message is ignored.
    """
    try:
        delivery = msgspec.convert(raw, _Delivery)
    except _CONVERT_ERRORS as error:
        raise Malformed(f"its delivery is malformed: {error}") from None
    properties = msgspec.structs.asdict(delivery.properties)
    info = msgspec.structs.asdict(delivery.properties.delivery_info)
    if not fanout:
        info.update(exchange="", routing_key=queue)
    properties.update(delivery_tag=str(uuid.uuid4()), delivery_info=info)
    return {
        "body": delivery.body,
        "content-type": delivery.content_type,
        "content-encoding": delivery.content_encoding,
        "headers": delivery.headers or {},
        "properties": properties,
    }


def read_task(headers: Any, properties: Any, body: Any, content_type: Any) -> Task:
    """Return the rebuilt parts of a task message; raises Malformed.

    >>> body = b'[["{}"],{"reply_to":null},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
    >>> read_task({"task": TASK_NAME, "id": "7f", "stamped_headers": 5}, {}, body, "application/json").headers["id"]
    '7f'
    """
    if content_type != "application/json":
        raise Malformed("its body is not JSON")
    if not isinstance(headers, dict) or not headers:
        raise Malformed("it has no headers")
    try:
        task_headers = msgspec.convert(headers, _Headers)
        task_properties = msgspec.convert(properties or {}, _TaskProperties)
    except _CONVERT_ERRORS as error:
        raise Malformed(f"its headers are malformed: {error}") from None
    if not all(_is_unicode(value) for value in msgspec.structs.astuple(task_headers) if isinstance(value, str)):
        raise Malformed("its headers are malformed: a text is not Unicode")
    clean = TaskHeaders({"lang": "py", **extra_headers(headers), **msgspec.structs.asdict(task_headers)})
    clean.update(expires=_moment(task_headers.expires), argsrepr="(<request>,)", kwargsrepr="{}")
    return Task(clean, msgspec.structs.asdict(task_properties), _read_body(task_headers.task, body))


def _moment(expires: str | None) -> str | None:
    """Return a time in the one form that Celery can always read."""
    if expires is None:
        return None
    try:
        return datetime.datetime.fromisoformat(expires).astimezone(datetime.UTC).isoformat()
    except (ValueError, OverflowError):
        raise Malformed("its headers are malformed: 'expires' is not a date and time") from None


def _read_body(task: str, body: Any) -> bytes:
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes | bytearray | memoryview):
        raise Malformed("its body is not text")
    if len(body) > MAX_BODY:
        raise Malformed(f"its body has {len(body):,} bytes")
    try:
        arguments, keywords, _ = (_read_call if task == TASK_NAME else _read_no_arguments)(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"its body is not a call of {task}: {type(error).__name__}") from None
    return _encode((arguments, keywords, _NO_SIGNATURES))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def extra_headers(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return the headers without a meaning for Celery, such as trace headers: only short strings.

    >>> extra_headers({"traceparent": "00-1", "chord": "x", "stamps": {}, "retries": 5})
    {'traceparent': '00-1'}
    """
    extra: dict[str, str] = {}
    for name, text in headers.items():
        if len(extra) == _EXTRA_COUNT:
            break
        if not isinstance(name, str) or not isinstance(text, str) or len(text) > _EXTRA_LENGTH:
            continue
        if _EXTRA_NAME.fullmatch(name) and name not in _RESERVED and not hasattr(Context, name) and _is_unicode(text):
            extra[name] = text
    return extra
