"""A unit of work: operations that a block collects, and sends as one message at its end.

The service runs a message with writes as one transaction, so it executes all operations of a unit, or none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from django_rpc.client.deferred import Collected, collectors, node_within, pending_of
from django_rpc.client.execute import Run
from django_rpc.client.hooks import Hook
from django_rpc.client.idempotency import current_key
from django_rpc.client.locale import Locale
from django_rpc.errors import NotSentYet
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.delayed.runner import Output, Runner
from django_rpc.graph.format import describe
from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes import Node, Opaque
from django_rpc.graph.plan.stages import Stage
from django_rpc.graph.traversal import topological

__all__ = ["Operation", "Unit", "opened", "unit_of"]

_NAMED = 5


class Operation(NamedTuple):
    """Node to send, and functions that process the answer.

    ``finish`` makes the result from the answer, ``after`` sends notifications such as signals. ``pend`` is called at
    once where the operation is collected: it prepares for a later answer, and returns a function that undoes this.
    """

    node: Node
    finish: Callable[[Any], Any] | None = None
    after: Callable[[Any], object] | None = None
    pend: Callable[[Collected], Callable[[], object]] | None = None

    def done(self, answer: Any) -> Any:
        """Process an answer that arrived at once, and return its result."""
        result = answer if self.finish is None else self.finish(answer)
        if self.after is not None:
            self.after(answer)
        return result


class Sight(Protocol):
    """Protocol of an object that knows which rows operations change and reads see."""

    def note(self, node: Node) -> None: ...

    def could_see(self, nodes: Sequence[Node]) -> bool: ...


class _Step(NamedTuple):
    operation: Operation
    collected: Collected
    undo: Callable[[], object] | None


class Unit(Hook):
    """Operations that a block has collected for one service, in their order.

    ``refusal`` makes the error for an operation that does not fit into the block. ``sight`` decides if a read could see
    effects of collected operations; None means that every read could.
    """

    def __init__(
        self,
        service: str,
        refusal: Callable[[str], Exception] = NotSentYet,
        sight: Sight | None = None,
        current_locale: Callable[[], Locale] = Locale,
    ) -> None:
        self.service = service
        self.refusal = refusal
        self._sight = sight
        self._steps: list[_Step] = []
        self._callbacks: list[Callable[[], object]] = []
        self._key = current_key()
        self._current_locale = current_locale
        self._locale = Locale()

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"<Unit of {self.service!r}: {self._texts() or 'nothing collected'}>"

    def add(self, call: Any) -> Collected:
        """Collect a `Delayed` or a queryset. The message of the block evaluates it in the order of the operations.

        The result is known after the end of the block. Raise TypeError for any other object.
        """
        if isinstance(call, Delayed):
            return self.collect(Operation(*call.__rpc_output__()))
        if hasattr(call, "rpc_output"):
            return self.collect(Operation(*call.rpc_output()))
        raise TypeError(f"add() takes a Delayed or a queryset of a mirror, not {type(call).__name__}: {call!r}")

    def collect(self, operation: Operation) -> Collected:
        """Collect an operation, to send it at the end of the block; raise the refusal inside a once() of the block."""
        if current_key() is not self._key:
            raise self.refusal(
                "Put once() around the block: the block sends all its operations in one message at its end."
            )
        self._check_zone(operation)
        collected = Collected(self, operation.node)
        undo = None if operation.pend is None else operation.pend(collected)
        self._steps.append(_Step(operation, collected, undo))
        if self._sight is not None:
            self._sight.note(operation.node)
        return collected

    def _check_zone(self, operation: Operation) -> None:
        """Keep the zone of the first operation for the message; raise the refusal for an operation in another zone."""
        locale = self._current_locale()
        if not self._steps:
            self._locale = locale
        elif locale[:2] != self._locale[:2]:
            raise self.refusal(
                f"{describe(operation.node, 100)} is in the time zone {locale.zone!r}, and the block has collected "
                f"operations in the time zone {self._locale.zone!r}. The message of a block has one time zone: "
                "activate it around the block, or use one block for each time zone."
            )

    def after(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` after the block has been executed."""
        self._callbacks.append(callback)

    def mark(self) -> tuple[int, int]:
        """Return the current position, for `drop`."""
        return len(self._steps), len(self._callbacks)

    def drop(self, mark: tuple[int, int] = (0, 0)) -> None:
        """Forget the operations since ``mark``, the last first, and restore the instances."""
        steps, callbacks = mark
        dropped, self._steps = self._steps[steps:], self._steps[:steps]
        del self._callbacks[callbacks:]
        for step in dropped:
            step.collected.lose()
        for step in reversed(dropped):
            if step.undo is not None:
                step.undo()

    def plan_begins(self, run: Run) -> None:
        """Raise the refusal for a plan that would run now and does not fit into the block."""
        for stage in run.plan.stages:
            for node in stage.nodes:
                value = pending_of(node) if isinstance(node, Opaque) else None
                if value is not None and not value.done():
                    value.result()
            if stage.service == self.service:
                self._check_message(stage)

    def _check_message(self, stage: Stage) -> None:
        text = describe(stage.nodes[stage.outputs[0]], 100) if stage.outputs else "This"
        if stage.writes:
            raise self.refusal(
                f"{text} writes, and needs its result at once; writes of this block are sent at its end. "
                "Give a Delayed to add() of the block, and read the result after the block."
            )
        if self._steps and (self._sight is None or self._sight.could_see(stage.nodes)):
            raise self.refusal(
                f"{text} needs an answer at once, which could depend on operations that this block has collected and "
                f"not sent: {self._texts()}. Read it before the first write, or within the message of the block: a "
                "Delayed (.delayed()) can be an argument of the next operation, or of add() of the block."
            )

    def _texts(self) -> str:
        named = [describe(step.operation.node, 60) for step in self._steps[:_NAMED]]
        return "; ".join([*named, *([f"... {len(self)} in all"] if len(self) > _NAMED else [])])

    # -- the end of the block -----------------------------------------------------------------------

    def send(self, runner: Runner, **options: Any) -> None:
        """Send one message with all operations, and set each result.

        After an error of the service, which is raised, none is done.
        """
        with self._undone_by_errors():
            run = self._run(runner, options)
            if run is not None:
                run.execute()
        self._finish([] if run is None else run.values())

    async def asend(self, runner: Runner, **options: Any) -> None:
        """Send without blocking the event loop. See `send`."""
        with self._undone_by_errors():
            run = self._run(runner, options)
            if run is not None:
                await run.aexecute()
        self._finish([] if run is None else run.values())

    @contextlib.contextmanager
    def _undone_by_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.drop()
            raise

    def _run(self, runner: Runner, options: dict[str, Any]) -> Run | None:
        if not self._steps:
            return None
        run = Run(self.outputs(), [runner], options.get("timeout"), options.get("priority", False), locale=self._locale)
        writing = [stage for stage in run.plan.stages if stage.writes]
        if len(writing) > 1 or any(stage.service != self.service for stage in writing):
            raise self.refusal(
                f"This block cannot be one message to {self.service!r}: it writes at another service, or a Python "
                "function of the client needs one of its results."
            )
        return run

    def outputs(self) -> list[Output]:
        """Return the operations as outputs, where nodes replace references to results of other operations."""
        replaced: dict[Node, Node] = {}
        for node in topological([step.operation.node for step in self._steps]):
            value = None if isinstance(node, Opaque) else pending_of(node)
            if value is not None and not value.done():
                replaced[node] = node_within(node, replaced)
            else:
                new = substitute(node, replaced)
                if new is not node:
                    replaced[node] = new
        nodes = [step.operation.node for step in self._steps]
        return [Output(replaced.get(node, node)) for node in nodes]

    def _finish(self, answers: Iterable[Any]) -> None:
        """Set all results, send all notifications, call the callbacks, and raise the first error among all of these.

        The service has done all operations, so an error of one notification does not prevent the others.
        """
        steps, self._steps = self._steps, []
        callbacks, self._callbacks = self._callbacks, []
        failed: list[Exception] = []

        def attempt(function: Callable[..., object], *args: Any) -> bool:
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001 - the first is raised at the end
                failed.append(error)
                return False
            return True

        finished = [
            (step.operation.after, answer)
            for step, answer in zip(steps, answers, strict=True)
            if attempt(_settle, step, answer)
        ]
        for after, answer in finished:
            if after is not None:
                attempt(after, answer)
        for callback in callbacks:
            attempt(callback)
        if failed:
            raise failed[0]


def _settle(step: _Step, answer: Any) -> None:
    finish = step.operation.finish
    step.collected.settle(answer if finish is None else finish(answer))


def unit_of(service: str) -> Unit | None:
    """Return the open unit of a service in this context, or None."""
    return collectors.get().get(service)


@contextlib.contextmanager
def opened(unit: Unit) -> Iterator[Unit]:
    """Let ``unit`` collect within the block. An exception that leaves the block drops the collected operations."""
    before = collectors.get()
    collectors.set({**before, unit.service: unit})
    try:
        yield unit
    except BaseException:
        unit.drop()
        raise
    finally:
        collectors.set(before)
