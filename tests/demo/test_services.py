"""The harness itself: services start, answer, stop, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from django_rpc.demo import environment
from django_rpc.demo.processes import Process, ServiceError
from django_rpc.demo.services import (
    RedisServer,
    prepare_database,
    redis_server,
    temporary_folder,
    worker,
)

HOLDER = """
import sys, time
from django_rpc.demo.services import redis_server

with redis_server() as redis:
    print(redis.process.pid, redis.folder, flush=True)
    time.sleep(60)
"""

WORKER_HOLDER = """
import time
from django_rpc.demo.services import worker

with worker(app={app!r}) as process:
    process.pause()  # not even a frozen one is left behind
    print(process.pid, flush=True)
    time.sleep(60)
"""

ECHO_APP = """
import os
from celery import Celery

app = Celery("echo", broker=os.environ["ECHO_URL"], backend=os.environ["ECHO_URL"])

@app.task(name="echo")
def echo(value):
    return value
"""


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def gone(pid):
    """Whether a process has ended; one that its new parent has not yet reaped has ended too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family_of(pid):
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def test_redis_answers_and_is_gone_at_the_end():
    with redis_server() as redis:
        assert redis.alive
        assert redis.answers()
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
        folder = redis.folder
    assert not redis.alive
    assert not redis.answers()
    assert not folder.exists()


def test_redis_is_stopped_after_an_error():
    def fail():
        with redis_server() as redis:
            seen.append(redis)
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not seen[0].answers()


@pytest.mark.parametrize("persist", [False, True])
def test_redis_restarts_on_its_port(persist):
    import redis as client

    with redis_server(persist=persist) as server:
        connection = client.Redis.from_url(server.url)
        connection.set("key", "value")
        server.stop()
        assert not server.answers()
        server.start()
        assert connection.get("key") == (b"value" if persist else None)


def test_redis_start_failure_has_reason():
    with redis_server() as first, temporary_folder() as folder:
        second = RedisServer(folder)
        second.port = first.port
        # The first one answers on that port; only the second's own exit shows the mistake.
        second.answers = lambda: False
        with pytest.raises(ServiceError, match="Address already in use"):
            second.start()
        assert first.answers()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_redis_does_not_outlive_its_parent(number):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with holder:
        pid, folder = holder.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        holder.send_signal(number)
        holder.wait(10)
    wait_for(lambda: gone(int(pid)))
    wait_for(lambda: not Path(folder).exists())


def test_a_process_that_ends_early_is_an_error_with_its_output(tmp_path):
    command = [sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"]
    process = Process(command, log_path=tmp_path / "log")
    with pytest.raises(ServiceError, match=r"(?s)code 3.*no such luck"):
        process.wait_until(lambda: False, "It", timeout=10)
    process.stop()


def test_a_process_that_is_never_ready_is_an_error(tmp_path):
    process = Process([sys.executable, "-c", "import time; time.sleep(60)"], log_path=tmp_path / "log")
    process.pause()
    with pytest.raises(ServiceError, match=r"not ready after 0\.2 s"):
        process.wait_until(lambda: False, "It", timeout=0.2)
    process.kill()
    assert process.stop() == -signal.SIGKILL


@pytest.fixture
def echo(tmp_path):
    """A Celery app that is not ours, its environment for a worker, and its client."""
    (tmp_path / "echo_app.py").write_text(ECHO_APP)
    with redis_server() as redis:
        from celery import Celery

        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        env = {"ECHO_URL": redis.url, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        client = Celery("echo", broker=redis.url, backend=redis.url, set_as_current=False)
        yield client, {"app": "echo_app", "env": env}
        client.close()


def test_worker_serves_and_leaves_no_process(echo):
    client, options = echo
    with worker(**options) as process:
        assert client.send_task("echo", ["hello"]).get(timeout=10) == "hello"
        family = family_of(process.pid)
        assert process.alive
    wait_for(lambda: all(gone(pid) for pid in family))
    assert process.returncode == 0, process.log()


def test_worker_can_be_paused_and_killed(echo):
    from celery.exceptions import TimeoutError

    client, options = echo
    with worker(concurrency=1, **options) as process:
        process.pause()
        answer = client.send_task("echo", ["late"])
        with pytest.raises(TimeoutError):
            answer.get(timeout=0.3)
        process.resume()
        assert answer.get(timeout=10) == "late"
        family = family_of(process.pid)
        assert len(family) > 1
        process.kill()
        wait_for(lambda: all(gone(pid) for pid in family))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_worker_and_its_pool_do_not_outlive_their_parent(echo, number):
    _, options = echo
    code = WORKER_HOLDER.format(app=options["app"])
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **options["env"]},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with holder:
        family = family_of(int(holder.stdout.readline()))
        assert len(family) > 1
        holder.send_signal(number)
        holder.wait(10)
    wait_for(lambda: all(gone(pid) for pid in family))


def test_worker_start_failure_has_reason(tmp_path):
    with pytest.raises(ServiceError, match="no_such_module"), worker(app="no_such_module"):
        pass


def dump(path):
    with sqlite3.connect(path) as connection:
        # When a migration ran is not data.
        return [line for line in connection.iterdump() if '"django_migrations"' not in line]


def test_data_are_the_same_in_every_database(tmp_path):
    paths = [tmp_path / "one.sqlite3", tmp_path / "two.sqlite3"]
    counts = [prepare_database(environment.sqlite_url(path)) for path in paths]
    assert counts[0] == counts[1]
    assert counts[0]["shop.Customer"] == 500
    assert sum(counts[0].values()) > 5000
    assert dump(paths[0]) == dump(paths[1])
    other = tmp_path / "other.sqlite3"
    prepare_database(environment.sqlite_url(other), data={"seed": 7})
    assert dump(other) != dump(paths[0])


def test_data_answer_the_first_example(tmp_path):
    path = tmp_path / "server.sqlite3"
    prepare_database(environment.sqlite_url(path), data={"customers": 1, "orders": 1})
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT other_field FROM rpc_server_servermodel WHERE some_field = '123' AND other_field <> 1"
        ).fetchall()
    assert rows == [(7,)]


def test_tables_without_rows(tmp_path):
    path = tmp_path / "server.sqlite3"
    assert prepare_database(environment.sqlite_url(path), empty=True) == {}
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM shop_customer").fetchone() == (0,)


def test_database_creation_failure_has_reason():
    with pytest.raises(ServiceError, match="unable to open database file"):
        prepare_database("sqlite:////no/such/folder/file.sqlite3")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", {"NAME": ":memory:"}),
        ("sqlite:///:memory:", {"NAME": ":memory:"}),
        ("sqlite:////srv/a%20b.db", {"NAME": "/srv/a b.db"}),
        ("sqlite:///a.db", {"NAME": "a.db"}),
        ("postgresql://u:p%40ss@h:1/n", {"NAME": "n", "USER": "u", "PASSWORD": "p@ss"}),
        ("postgres://h/n", {"ENGINE": "django.db.backends.postgresql", "HOST": "h", "PORT": ""}),
        ("mysql://root@h:3306/n", {"ENGINE": "django.db.backends.mysql", "PORT": "3306"}),
    ],
)
def test_database_urls(url, expected):
    assert expected.items() <= environment.parse_database(url).items()


@pytest.mark.parametrize("url", ["oracle://h/n", "postgresql://h", "server.db"])
def test_incomplete_database_urls(url):
    with pytest.raises(ValueError, match="database"):
        environment.parse_database(url)
