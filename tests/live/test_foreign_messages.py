"""Messages that are none of ours, on the queues of a real worker: nothing of them runs, and the worker serves on."""

from __future__ import annotations

import json
import os
import pickle
import time
import uuid
import zlib
from pathlib import Path

import pytest
from kombu import Connection, Exchange

from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource

from .conftest import addresses, run_service

HERE = Path(__file__).parent
COUNT = Output(Method(parent=ModelSource(model="shop.Customer", service="rpc"), name="count"))
TASK = "django_rpc.call"
GRAPH = '{"v":1,"id":"x","nodes":[["source","shop.Customer"],["method",0,"delete",[],{}]],"outputs":[1]}'
PICKLE, YAML, JSON = "application/x-python-serialize", "application/x-yaml", "application/json"


class Touch:
    """Whoever unpickles it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "run")


class Broker:
    """Actions of any process with access to the broker."""

    def __init__(self, service, mark):
        self.service, self.mark = service, mark
        self.session = Session({**service.settings, "TIMEOUT": 5})

    def publish(self, body, *, content_type=JSON, encoding="utf-8", headers=None, **properties):
        queue = self.service.settings["DEFAULT_QUEUE_NAME"]
        with Connection(self.service.settings["BROKER_URL"]) as connection:
            producer = connection.Producer()
            options = {"exchange": Exchange(queue), "routing_key": queue, **properties}
            producer.publish(body, content_type=content_type, content_encoding=encoding, headers=headers, **options)

    def serves(self):
        [count] = self.session.compute([COUNT])
        return count > 0


def headers_of(task=TASK, **more):
    made = {"lang": "py", "task": task, "id": f"foreign-{uuid.uuid4().hex}", "argsrepr": "", "kwargsrepr": ""}
    return {**made, "origin": "", **more}


def body_of(*args, **kwargs):
    return json.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


@pytest.fixture(scope="module", params=["redis-sqlite", "rabbitmq-postgresql"])
def broker(request, redis, prepared, tmp_path_factory):
    url, backend, database = addresses(request.param, request)
    prepared(database)
    mark = tmp_path_factory.mktemp("tempting") / "mark"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPTING_MARK", str(mark))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))
        options = {"settings_module": "tempting_settings", "concurrency": 1}
        with run_service(request.param, url, backend, database, redis, **options) as service:
            yield Broker(service, mark)


def is_refused(broker):
    """The worker continues with the next message after the foreign message, and nothing of that message has run."""
    assert broker.serves()
    assert broker.service.worker.alive
    assert not broker.mark.exists()


@pytest.mark.parametrize("task", [TASK, "shop.tasks.pay_out"])
@pytest.mark.parametrize("content_type", [PICKLE, "application/x-msgpack", YAML, "application/data", "text/x-evil", ""])
def test_other_formats_than_json(broker, content_type, task):
    data = {
        PICKLE: pickle.dumps(((Touch(broker.mark),), {}, {})),
        YAML: f"!!python/object/apply:os.system ['touch {broker.mark}']".encode(),
    }.get(content_type, b"\x93\x90\x80\x80")
    broker.publish(data, content_type=content_type, encoding="binary", headers=headers_of(task))
    is_refused(broker)


def test_pickle_with_content_type_json(broker):
    broker.publish(pickle.dumps(((Touch(broker.mark),), {}, {})), encoding="binary", headers=headers_of())
    is_refused(broker)


@pytest.mark.parametrize(
    "task",
    [
        *("shop.tasks.pay_out", "os.system", "django_rpc.call\n", "celery.map", "celery.starmap", "celery.chunks"),
        *("celery.group", "celery.chain", "celery.chord", "celery.chord_unlock", "celery.accumulate", ""),
    ],
)
def test_other_tasks(broker, task):
    """Those of the project, and those that Celery has for itself and that run any other."""
    nested = {"task": "shop.tasks.pay_out", "args": [], "kwargs": {}, "options": {}, "subtask_type": None}
    broker.publish(body_of(nested, [[]]), headers=headers_of(task))
    is_refused(broker)
    broker.publish(json.dumps({"task": task, "id": "v1", "args": [nested, [[]]], "kwargs": {}}))  # protocol 1
    is_refused(broker)


#: Headers that Celery's consumer cannot process.
ODD = {
    "a list for a task": headers_of(["x"]),
    "a dict for a task": headers_of({"a": 1}),
    "a number for a task": headers_of(7),
    "no id": {"task": TASK, "lang": "py"},
    "a list for an id": headers_of(id=["x"]),
    "no headers": None,
    "an expiry that is no date": headers_of(expires="tomorrow"),
    "a time that is no date": headers_of(eta="tomorrow"),
    "a time in a hundred years": headers_of(eta="2126-01-01T00:00:00+00:00"),
    "a group": headers_of(group="x", chord={"task": "shop.tasks.pay_out"}),
    "a time limit that is none": headers_of(timelimit="xy"),
    "a number of retries": headers_of(retries="x"),
    "another language": headers_of(lang="php", shadow="shop.tasks.pay_out"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_envelopes(broker, what):
    broker.publish(body_of(GRAPH[:-1]), headers=ODD[what])
    is_refused(broker)


@pytest.mark.parametrize(
    "body", ["", "5", "[]", "[1]", '[{"a":1},[],5]', '[["x"],{"text":"y"},{}]', "[[],{},{}]", "{", "null"]
)
def test_odd_bodies(broker, body):
    broker.publish(body, headers=headers_of())
    is_refused(broker)


def test_a_message_that_is_larger_when_it_is_unpacked(broker):
    """A megabyte that becomes 300 in the worker's main process, which would be given it again after it died."""
    packer = zlib.compressobj(1)
    packed = b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(300)), packer.flush()])
    before = memory(broker)
    broker.publish(packed, encoding="binary", headers=headers_of(compression="application/x-gzip"))
    is_refused(broker)
    assert memory(broker) - before < 150_000


def memory(broker):
    """The highest use of the worker's main process so far, in kB."""
    status = Path(f"/proc/{broker.service.worker.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_signatures_that_celery_would_call(broker):
    after = {"task": "shop.tasks.pay_out", "args": [], "kwargs": {}, "options": {"queue": "x"}}
    for name in ("callbacks", "errbacks", "chain", "chord"):
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, name: [after]}
        broker.publish(json.dumps([[GRAPH], {}, embed]), headers=headers_of())
        is_refused(broker)
    time.sleep(0.2)
    is_refused(broker)
