"""``python -m tests.chaos.without [NAME...]``: take each defence out of a copy, and require its test to fail there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TWICE = "tests/live/test_twice.py::test_"
_KILLED = f"{_TWICE}a_process_is_killed_before_the_commit_and_after_it"
_LEDGER = 'if request.asking != "explain" and any(node.writes for node in request.nodes):'
_TIME = "max(options.timeout - (time.perf_counter() - started), 0.0)"

#: Name: file, its text, the text without the defence, the tests; one of them must fail.
DEFENCES = {
    "ledger": ("server/ledger/ledger.py", _LEDGER, "if False:", _KILLED),
    "ledger in a storm": ("server/ledger/ledger.py", _LEDGER, "if False:", "tests/chaos/test_chaos.py"),
    "acknowledged late": (
        "celery/task.py",
        "acks_late=True",
        "acks_late=False",
        f"{_TWICE}worker_is_killed_after_the_commit",
    ),
    "given back": ("celery/task.py", "if not isinstance(error, _DEATHS)", "if True", _KILLED),
    "said to be held": (
        "celery/visibility_heartbeat.py",
        "dict.fromkeys(tags, time.time())",
        "dict.fromkeys(tags, time.time() - 60)",
        f"{_TWICE}busy_worker_keeps_its_messages_on_redis",
    ),
    "begun again on Redis": (
        "celery/visibility_heartbeat.py",
        "restore_dead(channel, _BATCH)",
        "pass",
        f"{_TWICE}worker_is_killed_after_the_commit[redis-sqlite]",
    ),
    "not again without a ledger": (
        "server/handler.py",
        "again or caller.again",
        "caller.again",
        f"{_TWICE}a_process_that_is_killed_at_a_service_without_a_ledger",
    ),
    "token used up last": (
        "celery/task.py",
        "request.django_rpc_finish = sending.finish",
        "sending.finish()",
        "tests/celery/test_task.py",
    ),
    "dead processes replaced": (
        "celery/consumer.py",
        "replace_dead_processes(self)",
        "pass",
        "tests/celery/test_consumer.py",
    ),
    "inherited sockets": ("celery/app.py", "    close_inherited(parent)", "    pass", _KILLED),
    "answers pushed again": (
        "celery/reply_list.py",
        "if attempt == len(_PAUSES) - 1:",
        "if True:",
        "tests/live/test_weather.py::test_a_result_backend_that_was_restarted_before_the_answer",
    ),
    "idle connections": (
        "transport/connections.py",
        "if sock is None or not _has_news(sock):",
        "if True:",
        "tests/live/test_idle.py::test_a_write_after_the_servers_closed_all_connections",
    ),
    "one time-out": (
        "client/session.py",
        _TIME,
        "options.timeout",
        "tests/client/test_session.py::test_the_time_out_spans_sending_and_waiting",
    ),
    "forks": (
        "transport/fork_safety.py",
        "_holders.add(holder)",
        "pass",
        "tests/live/test_transport.py::test_multiprocessing",
    ),
    "ended loops": (
        "transport/redis_list_async.py",
        "_inboxes.pop(ended, None)",
        "pass",
        "tests/client/test_waiting.py::test_inboxes_of_event_loops_that_have_ended_are_forgotten",
    ),
}


def fails_without(copy: Path, name: str) -> bool:
    """Whether a test of the defence fails in the copy; raises ValueError where the defence is not there any more."""
    file, present, absent, tests = DEFENCES[name]
    path = copy / "django_rpc" / file
    text = path.read_text()
    if text.count(present) != 1:
        raise ValueError(f"{name}: {present!r} stands {text.count(present)} times in {file}")
    path.write_text(text.replace(present, absent))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    path.write_text(text)
    # 1: tests ran and failed; anything else is no proof.
    if done.returncode not in (0, 1):
        raise ValueError(f"{name}: pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode == 1


def main() -> int:
    names = sys.argv[1:] or list(DEFENCES)
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__"))
        for name in names:
            failed = fails_without(copy, name)
            print(f"{name}: {'its test failed' if failed else 'NOTHING FAILED'}", flush=True)
            survived += [] if failed else [name]
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
