"""Which stages of a plan hand their values straight to each other, and how their messages are tied together.

Whether two services can do that is their sessions' to say (`Session.why_not_to`): where not, the client carries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django_rpc.client.idempotency import Ids
from django_rpc.graph.delayed.runner import Runner
from django_rpc.graph.plan.stages import Plan, Routing, Stage
from django_rpc.graph.values import Handed
from django_rpc.wire.messages import HandOver, Origin

__all__ = ["HandOvers", "Links", "why_not"]


@dataclass(frozen=True, slots=True)
class Links:
    """How one message is tied to others of its plan.

    ``ids`` are its own, since others name it.  ``given`` are the requests whose values it is handed; ``failures``
    makes, by the list on which it would come, the error of one that fails before.  ``then`` says where its own values
    go, and ``back`` which of them the client gets (None: no answer at all, unless it fails).
    """

    ids: Ids
    given: tuple[Origin, ...] = ()
    then: tuple[HandOver, ...] = ()
    back: tuple[int, ...] | None = None
    failures: Mapping[str, Callable[[bytes], Exception]] = field(default_factory=dict)

    def expanded(self, values: list[Any], count: int) -> list[Any]:
        """The values of those outputs that came back, each in its place."""
        if not self.then:
            return values
        places = dict(zip(self.back or (), values, strict=True))
        return [places.get(place) for place in range(count)]


class HandOvers:
    """The hand-overs of one plan.  ``wants_answer`` says of a stage whether the client wants more than its values."""

    def __init__(
        self, plan: Plan, runners: Mapping[str, Runner], wants_answer: Callable[[int], bool] = lambda number: False
    ) -> None:
        self.plan = plan
        #: By giver and taker: why the client carries the values; "" where they are handed over.
        self.reasons: dict[tuple[int, int], str] = {}
        for number, stage in enumerate(plan.stages):
            for giver in stage.after:
                reason = _reason(plan.stages[giver], stage, runners)
                if reason is not None:
                    self.reasons[giver, number] = reason
            if "" in [self.reasons.get((giver, number)) for giver in stage.after]:
                for earlier in self._kept_order(number):
                    self.reasons[earlier, number] = _reason(plan.stages[earlier], stage, runners) or ""
        self._before = [sorted({*stage.after, *self._said_before(number)}) for number, stage in enumerate(plan.stages)]
        self._wants_answer = wants_answer
        self._wanted = {stage for stage, _ in plan.outputs}
        self._wanted |= {one for number in range(len(plan.stages)) for one in self._carried(number)}

    def __bool__(self) -> bool:
        return "" in self.reasons.values()

    def _kept_order(self, number: int) -> list[int]:
        """Stages of the same service that have to end before this one, though it needs no value of theirs: what is
        written keeps its place among all that is read and written there."""
        stages = self.plan.stages
        needed: set[int] = set()
        stack = list(stages[number].after)
        while stack:
            one = stack.pop()
            if one not in needed:
                needed.add(one)
                stack += [*stages[one].after, *self._said_before(one)]
        return [
            earlier
            for earlier in range(number)
            if stages[earlier].service == stages[number].service
            and stages[earlier].round < stages[number].round
            and (stages[earlier].writes or stages[number].writes)
            and earlier not in needed
        ]

    def _said_before(self, number: int) -> list[int]:
        return [giver for giver, taker in self.reasons if taker == number]

    def routing(self) -> Routing:
        """The same in numbers, for people."""
        opens = self.opens()
        awaited = [
            number for number in opens if self.plan.stages[number].service is not None and self.is_awaited(number)
        ]
        return Routing(self.reasons, len(awaited), len({opens[number] for number in awaited}))

    def is_direct(self, giver: int, taker: int) -> bool:
        return self.reasons.get((giver, taker)) == ""

    def givers(self, number: int) -> list[int]:
        """The stages that hand their values to this one, or say that they have ended."""
        return [giver for giver in self._before[number] if self.is_direct(giver, number)]

    def takers(self, number: int) -> list[int]:
        return [taker for giver, taker in self.reasons if giver == number and self.is_direct(giver, taker)]

    def is_linked(self, number: int) -> bool:
        return any(number in pair and reason == "" for pair, reason in self.reasons.items())

    def _carried(self, number: int) -> list[int]:
        """The stages whose answer the client needs to send this one."""
        return [giver for giver in self._before[number] if not self.is_direct(giver, number)]

    def is_awaited(self, number: int) -> bool:
        """Whether an answer of the stage comes back to the client."""
        return number in self._wanted or not self.takers(number) or self._wants_answer(number)

    def opens(self) -> dict[int, int]:
        """The round in which the client has all that it needs to send each stage's message."""
        found: dict[int, int] = {}
        for number, stage in enumerate(self.plan.stages):
            givers = self.givers(number)
            carried = [self.plan.stages[one].round + 1 for one in self._carried(number)]
            found[number] = max([*(found[giver] for giver in givers), *carried]) if givers else stage.round
        return found

    def places(self, giver: int, taker: int) -> list[int]:
        """The places, among the outputs of ``giver``, of what ``taker`` gets of it, in the order in which it does."""
        return list(dict.fromkeys(one.place for one in self.plan.stages[taker].inputs if one.stage == giver))

    def handed(self, number: int) -> dict[tuple[int, int], Handed]:
        """What stands for each value that the stage is handed, by the stage and place that it comes from."""
        return {
            (giver, place): Handed(origin, index)
            for origin, giver in enumerate(self.givers(number))
            for index, place in enumerate(self.places(giver, number))
        }

    def back(self, number: int) -> tuple[int, ...] | None:
        """The places of those outputs of a giver that the client gets; None where it gets no answer."""
        if not self.is_awaited(number):
            return None
        wanted = {place for stage, place in self.plan.outputs if stage == number}
        for taker in range(number + 1, len(self.plan.stages)):
            if not self.is_direct(number, taker):
                wanted |= set(self.places(number, taker))
        return tuple(sorted(wanted))

    def silent_before(self, number: int) -> list[int]:
        """The stages of which, before this one, only a failure comes back."""
        found: dict[int, None] = {}
        stack = self.givers(number)
        while stack:
            giver = stack.pop()
            if giver not in found and not self.is_awaited(giver):
                found[giver] = None
                stack += self.givers(giver)
        return list(found)

    def links(
        self, number: int, ids: Callable[[int], Ids], queue: Callable[[int], str], calls: Mapping[int, Any]
    ) -> Links | None:
        """The links of a stage's message, whose givers have their ``calls``; None for one that stands alone."""
        if not self.is_linked(number):
            return None
        then = [
            HandOver(ids(taker).message, queue(taker), len(self.givers(taker)), tuple(self.places(number, taker)))
            for taker in self.takers(number)
        ]
        return Links(
            ids(number),
            tuple([calls[giver].origin() for giver in self.givers(number)]),
            tuple(then),
            self.back(number) if then else None,
            dict(self._failing(silent, calls[silent]) for silent in self.silent_before(number)),
        )

    def _failing(self, number: int, call: Any) -> tuple[str, Callable[[bytes], Exception]]:
        key, make = call.failing

        def made(answer: bytes) -> Exception:
            error: Exception = make(answer)
            self._name(error, number)
            return error

        return key, made

    @contextlib.contextmanager
    def naming(self, number: int) -> Iterator[None]:
        """What fails within the block is told to have failed in this stage, where it is not of another one."""
        try:
            yield
        except Exception as error:
            self._name(error, number)
            raise

    def _name(self, error: Exception, number: int) -> None:
        """Tell which stage failed, where there are several: once, since an error may pass several of them."""
        stages = self.plan.stages
        if len(stages) == 1 or getattr(error, "rpc_stage", None) is not None:
            return
        note = f"in stage {number + 1} of {len(stages)}, at service {stages[number].service!r}"
        givers = [f"{giver + 1} (service {stages[giver].service!r})" for giver in self.givers(number)]
        if givers:
            note += f", to which values are handed over by stage {' and '.join(givers)}"
        error.add_note(note)
        with contextlib.suppress(AttributeError):  # a class with __slots__: the note has said it
            error.rpc_stage = number + 1  # type: ignore[attr-defined]


def _reason(giver: Stage, taker: Stage, runners: Mapping[str, Runner]) -> str | None:
    """Why the client carries values from one stage to another; "" where it does not, None where nobody can say."""
    if giver.service is None or taker.service is None:
        return None
    start, end = runners.get(giver.service), runners.get(taker.service)
    ask = getattr(start, "why_not_to", None)
    return None if ask is None else ask(end)


def why_not(giver: Any, taker: Any) -> str:
    """Why the session ``giver`` does not hand values to ``taker``: in words that end a sentence, "" where it does.

    The worker of the one publishes the message for the other, so they share a broker; values and message come together
    in the Redis on which answers come back, so they share that.  What a service signs with its own key, another one can
    check; what it signs with the secret of a client, only that client can.
    """
    start, end = getattr(giver, "config", None), getattr(taker, "config", None)
    if start is None or end is None or any(hasattr(one, "runs_here") and one.runs_here for one in (giver, taker)):
        return "a service is evaluated in this process"
    if any(not hasattr(one.transport, "deposit") for one in (giver, taker)):
        return "answers do not come back by Redis: set RESULT_BACKEND to the same Redis for both services"
    if start.broker_url != end.broker_url:
        return "the services have different brokers"
    if start.result_backend != end.result_backend:
        return "the services have different result backends"
    if giver.signer is not None and giver.signer.key.algorithm == "HS256":
        return f"{start.alias!r} signs with a secret, which nobody but this client can check; give it a key pair"
    return ""
