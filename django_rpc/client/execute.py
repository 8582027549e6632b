"""Execution of plans: send the stages of services, run the stages of the client, and pass values between stages.

The stages of one round run at the same time. A round begins after the end of the round before it. All stages have one
deadline. If services forward values to each other (`forwarding`), the messages of later rounds are sent together with
those of the first round, and the client waits only for the values that it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from django_rpc.client.async_replay import converted, current
from django_rpc.client.background_plan import PlanCall
from django_rpc.client.decode_result import raise_failed
from django_rpc.client.deferred import collectors
from django_rpc.client.forwarding import Forwarding, Links
from django_rpc.client.futures import Future
from django_rpc.client.hooks import Hook, context_hooks
from django_rpc.client.idempotency import Ids
from django_rpc.client.locale import Locale
from django_rpc.client.remote_errors import build
from django_rpc.errors import CallCancelled, RpcTimeout
from django_rpc.graph.delayed.runner import Output, Runner, resolve
from django_rpc.graph.local_evaluation import run_stage
from django_rpc.graph.plan.locks import unheld_lock
from django_rpc.graph.plan.pipeline import plan
from django_rpc.graph.plan.stages import Plan
from django_rpc.transport.config import check_timeout
from django_rpc.transport.threads import LOCAL, SENDING, in_callers_thread
from django_rpc.wire.messages import ErrorReport

__all__ = ["NO_LIMIT", "Run", "acompute", "compute", "finished", "submit"]

#: Timeout of a call without a limit; None means the timeout of the settings.
NO_LIMIT = math.inf
_NO_SCOPE = contextlib.nullcontext()


def compute(
    outputs: Sequence[Output],
    runners: Iterable[Runner] = (),
    *,
    timeout: float | None = None,
    priority: bool = False,
) -> list[Any]:
    """Return the values of ``outputs``, with the fewest messages.

    Other services than those of ``runners`` are looked up by name.

    Raise NoRunner for an unknown service, the error of a service or a local function, or an error of the transport.

    >>> from django_rpc.graph.nodes import Operator
    >>> compute([Output(Operator("add", (1, 2)))])
    [3]
    """
    replay = current.get()
    if replay is None:
        run = Run(outputs, runners, timeout, priority)
        run.execute()
        return finished(outputs, run.values())
    runner_list = list(runners)
    ask = partial(_values, outputs, runner_list, timeout, priority)
    return finished(outputs, replay.values([output.node for output in outputs], ask))


def submit(
    outputs: Sequence[Output],
    runners: Iterable[Runner] = (),
    *,
    timeout: float | None = None,
    priority: bool = False,
) -> list[Future[Any]]:
    """Return a future for each of ``outputs``. A single message is sent at once, and its sending may raise an error.

    A plan of several stages continues in a thread.
    """
    run = Run(outputs, runners, timeout, priority)
    if run.is_one_message:
        call = run.send(0)
        places = [place for _, place in run.plan.outputs]
    else:
        call = PlanCall(run)
        places = list(range(len(outputs)))
    return [Future(call, place, output.node, output.finish) for place, output in zip(places, outputs, strict=True)]


async def acompute(
    outputs: Sequence[Output],
    runners: Iterable[Runner] = (),
    *,
    timeout: float | None = None,
    priority: bool = False,
) -> list[Any]:
    """Compute values without blocking the event loop; local functions run in a few shared threads. See `compute`."""
    values = await _values(outputs, runners, timeout, priority)
    return await converted([output.node for output in outputs], partial(finished, outputs, values))


async def _values(
    outputs: Sequence[Output], runners: Iterable[Runner], timeout: float | None, priority: bool
) -> list[Any]:
    run = Run(outputs, runners, timeout, priority)
    await run.aexecute()
    return run.values()


def finished(outputs: Sequence[Output], values: Sequence[Any]) -> list[Any]:
    """Return the outputs' values after their conversion for the caller."""
    return [
        value if output.finish is None else output.finish(value) for output, value in zip(outputs, values, strict=True)
    ]


class Run:
    """One execution of a plan."""

    def __init__(
        self,
        outputs: Sequence[Output],
        runners: Iterable[Runner],
        timeout: float | None,
        priority: bool,
        profiler: Hook | None = None,
        locale: Locale | None = None,
    ) -> None:
        self.outputs = outputs
        self._profiler = profiler
        self.plan: Plan = plan(outputs)
        for unit in collectors.get().values():
            unit.plan_begins(self)
        self.priority = priority
        self.results: dict[int, Any] = {}
        self.cancelled = False
        self._calls: dict[int, Any] = {}
        runners_by_service = self.plan.runners | {runner.service: runner for runner in runners}
        # All runners are looked up before the first message is sent.
        self._runners: dict[str, Runner] = {}
        for stage in self.plan.messages:
            name = stage.service
            assert name is not None
            if name not in self._runners:
                self._runners[name] = runners_by_service.get(name) or resolve(name)
        self._check_locks()
        # In the thread of the caller, since later stages are sent in other threads.
        self._locales = {name: locale or runner.locale() for name, runner in self._runners.items()}
        self._hooks = context_hooks.get() if profiler is None else (*context_hooks.get(), profiler)
        for hook in dict.fromkeys(
            [*self._hooks, *[hook for runner in self._runners.values() for hook in runner.hooks]]
        ):
            hook_of_run = hook.plan_begins(self)
            if hook_of_run is not None:
                self._hooks += (hook_of_run,)
        self.forwarding = Forwarding(self.plan, self._runners, self._wants_answer)
        self._send_rounds = self.forwarding.send_rounds()
        self._ids: dict[int, Ids] = {}
        self.timeout = timeout
        self._limit: float | None = None
        self._deadline: float | None = None
        if not self.is_one_message:
            self._begin()

    def _check_locks(self) -> None:
        """Raise TransactionManagementError for a lock that would protect nothing, as a local model does."""
        lock = unheld_lock(self.plan)
        if lock is not None:
            runner = self._runners[lock.service]
            report = ErrorReport(code="TransactionManagementError", message=lock.reason)
            raise build(report) if runner.results is None else runner.results.error(report, lock.node)

    @property
    def is_one_message(self) -> bool:
        stages = self.plan.stages
        return len(stages) == 1 and stages[0].service is not None

    @property
    def under_way(self) -> list[Any]:
        """Return the calls that were sent, and that have no values yet."""
        return [call for number, call in self._calls.items() if number not in self.results]

    def _wants_answer(self, number: int) -> bool:
        """Return True where this run requests more than values from a stage."""
        runner = self._runners[self.plan.stages[number].service or ""]
        if self._profiler is not None and self._profiler.asking(number) is not None:
            return True
        return any(hook.wants_sql for hook in runner.hooks)

    def _begin(self) -> None:
        """Compute the deadline of several stages: the timeout of the caller, or the longest timeout of the services."""
        if self.timeout is None:
            limits = [runner.timeout for runner in self._runners.values()]
            self._limit = (
                None if None in limits else max((limit for limit in limits if limit is not None), default=None)
            )
        else:
            self._limit = None if self.timeout == NO_LIMIT else check_timeout(self.timeout)
        self._deadline = None if self._limit is None else time.monotonic() + self._limit

    def rounds(self) -> Iterator[list[int]]:
        """Yield the numbers of the stages of each round, in their order; raise where the run must not continue."""
        numbered = enumerate(self.plan.stages)
        for round_, group in itertools.groupby(numbered, key=lambda pair: pair[1].round):
            numbers = [number for number, _ in group]
            if self.cancelled:
                raise CallCancelled(f"The plan was cancelled before its stage {numbers[0] + 1}.")
            if round_ and self._deadline is not None and time.monotonic() >= self._deadline:
                raise RpcTimeout(
                    f"The timeout of {self._limit:g} s had passed before stage {numbers[0] + 1} of the plan."
                )
            yield numbers

    def execute(self) -> None:
        try:
            self._execute()
        finally:
            self._plan_ends()

    def _execute(self) -> None:
        if self.is_one_message:
            self._stage_begins(0)
            call = self._calls[0] = self.send(0)
            self.results[0] = raise_failed(call.wait())
            self._stage_ends(0)
            return
        for numbers in self.rounds():
            for number in self._to_send(numbers):
                self._stage_begins(number)
                self._calls[number] = self.send(number)
            for number in numbers:
                if self.plan.stages[number].service is None:
                    self._stage_begins(number)
                    self.results[number] = self._run_here(number)
                    self._stage_ends(number)
            for number in self._to_wait_for(numbers):
                with self.forwarding.naming(number):
                    self.results[number] = raise_failed(self._calls[number].wait())
                self._ended(number)

    def _to_send(self, numbers: list[int]) -> list[int]:
        """Return the messages to send in the round of the stages ``numbers``.

        These are the messages of the round, and messages of later rounds that other services will complete. A stage
        follows the stages that forward values to it.
        """
        round_ = self.plan.stages[numbers[0]].round
        return [
            number
            for number, send_round in self._send_rounds.items()
            if send_round <= round_ and number not in self._calls and self.plan.stages[number].service is not None
        ]

    def _to_wait_for(self, numbers: list[int]) -> list[int]:
        return [number for number in numbers if number in self._calls and self.forwarding.is_awaited(number)]

    def _ended(self, number: int) -> None:
        """Note the end of a stage.

        Its values have arrived, so the stages that forwarded values to it have ended, too.
        """
        for silent in self.forwarding.silent_before(number):
            if silent not in self.results:
                self.results[silent] = []
                self._calls[silent].message.end(None)
                self._stage_ends(silent)
        self._stage_ends(number)

    def _stage_begins(self, number: int) -> None:
        for hook in self._hooks:
            hook.stage_begins(self, number)

    def _stage_ends(self, number: int) -> None:
        for hook in self._hooks:
            hook.stage_ends(self, number)

    def _plan_ends(self) -> None:
        for hook in self._hooks:
            hook.plan_ends(self)

    def _scope(self, number: int) -> contextlib.AbstractContextManager[Any]:
        if not self._hooks:
            return _NO_SCOPE
        stack = contextlib.ExitStack()
        for hook in self._hooks:
            stack.enter_context(hook.stage_scope(number))
        return stack

    def _run_here(self, number: int) -> list[Any]:
        timer = None if self._profiler is None else self._profiler.timer(number)
        with self._scope(number):
            return run_stage(self.plan.stages[number], self.results, timer)

    async def aexecute(self) -> None:
        _check_loop()
        try:
            await self._aexecute()
        finally:
            self._plan_ends()

    async def _aexecute(self) -> None:
        for numbers in self.rounds():
            here = [number for number in numbers if self.plan.stages[number].service is None]
            tasks = [self._arun_here(number) for number in here]
            tasks += [self._perform(numbers) for numbers in self._in_turn(self._to_send(numbers))]
            await _all(tasks)
            await _all([self._aarrive(number) for number in self._to_wait_for(numbers)])

    def _in_turn(self, numbers: list[int]) -> list[list[int]]:
        """Group messages that may be sent at the same time. Messages that name each other are one group, in order."""
        linked = [number for number in numbers if self.forwarding.is_linked(number)]
        return [[number] for number in numbers if number not in linked] + ([linked] if linked else [])

    async def _perform(self, numbers: list[int]) -> None:
        """Send messages, one after another."""
        for number in numbers:
            stage = self.plan.stages[number]
            assert stage.service is not None
            self._stage_begins(number)
            if self._runners[stage.service].runs_here:
                self._calls[number] = await in_callers_thread(self.send, number)
            else:
                self._calls[number] = await SENDING.run(self.send, number)

    async def _aarrive(self, number: int) -> None:
        with self.forwarding.naming(number):
            self.results[number] = raise_failed(await self._calls[number].arrive())
        self._ended(number)

    async def _arun_here(self, number: int) -> None:
        self._stage_begins(number)
        self.results[number] = await LOCAL.run(self._run_here, number)
        self._stage_ends(number)

    def send(self, number: int) -> Any:
        """Send the message of a stage, with its values from earlier stages."""
        stage = self.plan.stages[number]
        assert stage.service is not None
        runner = self._runners[stage.service]
        links = self._links(number)
        timeout = self.timeout
        if self._deadline is not None:
            left = max(self._deadline - time.monotonic(), 0.001)
            # A stage that waits for others begins after they end, and its inputs must end in time for all stages.
            is_bound = runner.timeout is None or self.timeout is not None or links is not None
            timeout = left if is_bound else min(left, runner.timeout or left)
        asking = None if self._profiler is None else self._profiler.asking(number)
        more: dict[str, Any] = {} if asking is None else {"asking": asking}
        if links is not None:
            more["links"] = links
        locale = self._locales[stage.service]
        if locale is not None:
            more["locale"] = locale
        filled = stage.filled(self.results, self.forwarding.placeholders(number))
        with self._scope(number):
            return runner.send(filled, timeout=timeout, priority=self.priority, **more)

    def _links(self, number: int) -> Links | None:
        messages = {giver: call.message for giver, call in self._calls.items() if getattr(call, "message", None)}
        return self.forwarding.links(number, self._ids_of, self._queue_of, messages)

    def _ids_of(self, number: int) -> Ids:
        stage = self.plan.stages[number]
        if number not in self._ids:
            runner: Any = self._runners[stage.service or ""]
            self._ids[number] = runner.ids(writes=stage.writes)
        return self._ids[number]

    def _queue_of(self, number: int) -> str:
        runner: Any = self._runners[self.plan.stages[number].service or ""]
        queue: str = runner.config.queue(priority=self.priority)
        return queue

    def values(self) -> list[Any]:
        """Return the outputs' values without conversion."""
        return self.plan.values(self.results)


def _check_loop() -> None:
    """Raise RuntimeError in a coroutine of an event loop that does not run, such as the loop of a parent process."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "This coroutine runs without an event loop. After os.fork() in a running event loop, the child process has "
            "no loop: the loop of its parent continues in the parent only. Use asyncio.run() in the child, or the "
            "functions that block."
        ) from None


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Run all of ``work`` at the same time. After a failure, cancel the unfinished rest."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
