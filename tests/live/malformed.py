"""Malformed messages, drawn at random from a seed: mutations of a valid one."""

from __future__ import annotations

import base64
import copy
import json
import random
import struct
import uuid

TASK = "django_rpc.call"
READ = '{"v":1,"id":"x","nodes":[["source","shop.Customer"],["method",0,"count",[],{}]],"outputs":[1]}'
SIGNATURE = {"task": "shop.tasks.pay_out", "args": [], "kwargs": {}, "options": {"queue": "x"}}
#: Values that are of no type that a reader of the message expects, or beyond every limit.
ODD = (
    *(None, True, 5, -1, 0, 2**31, 2**63, 2**64, -(2**70), 10**300, 1e308, 0.5, "", "x", "\x00", "é" * 40, "x" * 300),
    *([], [[]], ["x"], [None] * 40, {}, {"a": {"b": []}}, [[1, 2]], {"__type__": "uuid", "__value__": "x"}),
    *({"__type__": "datetime", "__value__": "9"}, "9" * 5000, "2126-01-01T00:00:00+00:00", "tomorrow", SIGNATURE),
    *([SIGNATURE], {"task": [SIGNATURE]}, "\ud800", "gzip", "application/x-gzip", "utf-16", "celery.chord"),
)
#: Headers that mean something to Celery, to kombu or to the task.
HEADERS = (
    *("stamped_headers", "stamps", "callbacks", "errbacks", "chain", "chord", "group", "group_index", "retries", "eta"),
    *(
        "expires",
        "timelimit",
        "time_limit",
        "soft_time_limit",
        "reply_to",
        "root_id",
        "parent_id",
        "shadow",
        "argsrepr",
    ),
    *("kwargsrepr", "replaced_task_nesting", "ignore_result", "compression", "clock", "redelivered", "origin", "lang"),
    *("meth", "utc", "args", "kwargs", "is_eager", "called_directly", "delivery_info", "hostname", "properties", "id"),
    *("task", "taskset", "_protected", "_children", "children", "headers", "x-death", "traceparent", "baggage"),
    *("update", "get", "clear", "__class__", "__dict__", "django_rpc_finish", "correlation_id", "logfile", "loglevel"),
)
ODD_TEXTS = (
    *("", "5", "[]", "{}", "null", "[null]", "[[],{},{}]", '"text"', "{", "[" * 5000, '{"a":' * 5000, "NaN", "\x00"),
    *('{"properties":null,"body":"","headers":{}}', '{"properties":{"delivery_tag":[]}}', "1" * 10_000),
)


def task_headers(**more):
    return {"lang": "py", "task": TASK, "id": uuid.uuid4().hex, "ignore_result": True, "argsrepr": "x", **more}


def task_body():
    return [[READ], {"reply_to": None}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def redis_item(queue, headers=None, body=None):
    """Return a valid item of a queue in Redis, as kombu writes it."""
    text = base64.b64encode(json.dumps(task_body() if body is None else body).encode()).decode()
    properties = {
        "correlation_id": uuid.uuid4().hex,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return {
        "body": text,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": task_headers() if headers is None else headers,
        "properties": properties,
    }


def paths(value, before=()):
    """Return the places in nested containers, each as a tuple of keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(*before, key), *paths(item, (*before, key))]]


def mutate(draw, value, times):
    """Return a copy of nested containers in which some values are odd, or gone."""
    value = copy.deepcopy(value)
    for _ in range(times):
        places = paths(value)
        if not places:
            break
        place = draw.choice(places)
        holder = value
        for key in place[:-1]:
            holder = holder[key]
        if draw.random() < 0.25:
            del holder[place[-1]]
        else:
            holder[place[-1]] = copy.deepcopy(draw.choice(ODD))
    return value


def odd_headers(draw):
    headers = task_headers()
    for name in draw.sample(HEADERS, draw.randint(1, 4)):
        headers[name] = copy.deepcopy(draw.choice(ODD))
    return headers


def odd_body(draw):
    body = task_body()
    if draw.random() < 0.3:
        body[2][draw.choice(["callbacks", "errbacks", "chain", "chord", "other"])] = draw.choice(
            [SIGNATURE, [SIGNATURE]]
        )
    else:
        body = mutate(draw, body, draw.randint(1, 2))
    return body


def item_of_redis(draw, queue):
    """Return the text of one malformed item."""
    kind = draw.random()
    if kind < 0.1:
        return draw.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
    if kind < 0.2:
        text = json.dumps(redis_item(queue)).encode()
        start, length = draw.randrange(len(text)), draw.randint(1, 20)
        return text[:start] + draw.randbytes(length) + text[start + length * draw.randint(0, 1) :]
    if kind < 0.5:
        item = redis_item(queue, headers=odd_headers(draw))
    elif kind < 0.65:
        item = redis_item(queue, body=odd_body(draw))
    else:
        item = mutate(draw, redis_item(queue), draw.randint(1, 3))
    return json.dumps(item).encode("utf-8", "surrogatepass")


class RawTable(bytes):
    """A header table as bytes, which py-amqp writes as they are."""


def raw_table(draw):
    """Return a header table with types that RabbitMQ knows, and that py-amqp reads as others or not at all."""
    name = b"\x04" + draw.choice([b"task", b"name", b"\xff\xfe\xfd\xfc"])
    value = draw.choice(
        [
            *(b"s" + struct.pack(">h", draw.randint(-(2**15), 2**15 - 1)), b"u" + struct.pack(">H", 65535)),
            *(b"T" + struct.pack(">Q", 2**64 - 1), b"T" + struct.pack(">Q", 2**40), b"L" + struct.pack(">q", -1)),
            *(b"D" + b"\xff" + struct.pack(">i", -1), b"S" + struct.pack(">I", 2) + b"\xff\xfe", b"f" + b"\xff" * 4),
            *(b"x" + struct.pack(">I", 3) + b"abc", b"d" + b"\x7f\xf0" + b"\x00" * 6, b"V", b"b\xff", b"t\x02"),
            b"A" + struct.pack(">I", 3) + b"s\x00\x09",
        ]
    )
    return RawTable(struct.pack(">I", len(name + value)) + name + value)


def publication_of_amqp(draw):
    """Return ``(body, content type, headers, properties)`` of one malformed message over AMQP."""
    kind, body, properties, headers = draw.random(), task_body(), {}, task_headers()
    content_type = "application/json"
    if kind < 0.1:
        body = draw.choice(
            [draw.choice(ODD_TEXTS).encode("utf-8", "surrogatepass"), draw.randbytes(draw.randint(0, 60))]
        )
    elif kind < 0.25:
        body = odd_body(draw)
    elif kind < 0.4:
        headers = raw_table(draw)
    elif kind < 0.5:
        content_type = draw.choice(["", "x", "application/x-python-serialize", "application/data", "text/plain", None])
    elif kind < 0.6:
        properties = {
            draw.choice(["reply_to", "correlation_id", "type", "app_id", "message_id"]): draw.choice(
                ["x" * 255, "é", "\x00"]
            ),
            "priority": draw.choice([0, 9, 255]),
            "timestamp": draw.choice([0, 2**63 - 1]),
        }
        headers = odd_headers(draw)
    elif kind < 0.7:
        # Every name and text that AMQP allows: codecs that kombu would look up, and tables that fill the largest frame.
        properties = {
            "content_encoding": draw.choice(["utf-16", "rot13", "zlib", "binary", "x" * 255, "é", "\x00", ""])
        }
        headers |= draw.choice(
            [{}, {"x": "x" * 100_000}, {f"x{n}": n for n in range(8_000)}, {"stamps": ["x" * 100_000]}]
        )
        headers |= draw.choice([{"reply_to": None}, {"task": "x" * 100_000}, {"id": ["x"]}, {"expires": {"a": 1}}])
    else:
        headers = odd_headers(draw) if draw.random() < 0.7 else mutate(draw, headers, draw.randint(1, 3))
    if not isinstance(body, bytes):
        body = json.dumps(body).encode("utf-8", "surrogatepass")
    return body, content_type, headers, properties


def sample(seed, count, make, *arguments):
    draw = random.Random(seed)
    return [make(draw, *arguments) for _ in range(count)]
