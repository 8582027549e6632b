"""Forwarding: the values that services of a plan send directly to each other, and the links between their messages.

The sessions of two services decide whether the first can forward values to the second (`Session.why_not_to`). Otherwise
the client carries the values.
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

__all__ = ["Forwarding", "Links", "why_not"]


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a message to other messages of its plan.

    ``ids`` are the ids of the message, because other messages name it. ``given`` are the requests that forward values
    to it. ``failures`` makes the error of a request that fails before it, by the list on which the error arrives.
    ``then`` are the receivers of its values, and ``back`` the values that the client receives. ``back`` is None if the
    client receives only a failure.
    """

    ids: Ids
    given: tuple[Origin, ...] = ()
    then: tuple[HandOver, ...] = ()
    back: tuple[int, ...] | None = None
    failures: Mapping[str, Callable[[bytes], Exception]] = field(default_factory=dict)

    def expanded(self, values: list[Any], count: int) -> list[Any]:
        """Return a list of ``count`` outputs, with the received values at their places."""
        if not self.then:
            return values
        places = dict(zip(self.back or (), values, strict=True))
        return [places.get(place) for place in range(count)]


class Forwarding:
    """The forwarded values of one plan.

    ``wants_answer`` returns True for a stage if the client needs more than the values of the stage. ``reasons`` has a
    text for a sender and a receiver if the client carries the values, and "" if they are forwarded.
    """

    def __init__(
        self, plan: Plan, runners: Mapping[str, Runner], wants_answer: Callable[[int], bool] = lambda number: False
    ) -> None:
        self.plan = plan
        self.reasons: dict[tuple[int, int], str] = {}
        self._wants_answer = wants_answer
        self._before: list[list[int]] = [[]]
        self._needed = {0}
        if len(plan.stages) == 1:  # most plans
            return
        for number, stage in enumerate(plan.stages):
            for sender in stage.after:
                reason = _reason(plan.stages[sender], stage, runners)
                if reason is not None:
                    self.reasons[sender, number] = reason
            if "" in [self.reasons.get((sender, number)) for sender in stage.after]:
                for earlier in self._ordered_before(number):
                    self.reasons[earlier, number] = _reason(plan.stages[earlier], stage, runners) or ""
        self._before = [
            sorted({*stage.after, *self._linked_before(number)}) for number, stage in enumerate(plan.stages)
        ]
        self._needed = {stage for stage, _ in plan.outputs}
        self._needed |= {sender for number in range(len(plan.stages)) for sender in self._carried(number)}

    def __bool__(self) -> bool:
        return "" in self.reasons.values()

    def _ordered_before(self, number: int) -> list[int]:
        """Return the stages of the same service that must end before a stage, though it needs none of their values.

        Writes keep their order with the other operations of their service.
        """
        stages = self.plan.stages
        needed: set[int] = set()
        stack = list(stages[number].after)
        while stack:
            before = stack.pop()
            if before not in needed:
                needed.add(before)
                stack += [*stages[before].after, *self._linked_before(before)]
        return [
            earlier
            for earlier in range(number)
            if stages[earlier].service == stages[number].service
            and stages[earlier].round < stages[number].round
            and (stages[earlier].writes or stages[number].writes)
            and earlier not in needed
        ]

    def _linked_before(self, number: int) -> list[int]:
        return [sender for sender, receiver in self.reasons if receiver == number]

    def routing(self) -> Routing:
        """Return the paths of values, and the number of answers that the client waits for."""
        rounds = self.send_rounds()
        awaited = [
            number for number in rounds if self.plan.stages[number].service is not None and self.is_awaited(number)
        ]
        return Routing(self.reasons, len(awaited), len({rounds[number] for number in awaited}))

    def is_direct(self, sender: int, receiver: int) -> bool:
        return self.reasons.get((sender, receiver)) == ""

    def senders(self, number: int) -> list[int]:
        """Return the stages that forward their values, or only the news of their end, to a stage."""
        return [sender for sender in self._before[number] if self.is_direct(sender, number)]

    def receivers(self, number: int) -> list[int]:
        return [receiver for sender, receiver in self.reasons if sender == number and self.is_direct(sender, receiver)]

    def is_linked(self, number: int) -> bool:
        return bool(self.reasons) and any(number in pair and reason == "" for pair, reason in self.reasons.items())

    def _carried(self, number: int) -> list[int]:
        """Return the stages with an answer that the client needs before it sends a stage."""
        return [sender for sender in self._before[number] if not self.is_direct(sender, number)]

    def is_awaited(self, number: int) -> bool:
        """Return True if the client receives an answer of the stage."""
        return number in self._needed or not self.receivers(number) or self._wants_answer(number)

    def send_rounds(self) -> dict[int, int]:
        """Return, for each stage, the round in which the client has all values of its message."""
        if not self.reasons:
            return {number: stage.round for number, stage in enumerate(self.plan.stages)}
        rounds: dict[int, int] = {}
        for number, stage in enumerate(self.plan.stages):
            senders = self.senders(number)
            carried = [self.plan.stages[sender].round + 1 for sender in self._carried(number)]
            rounds[number] = max([*(rounds[sender] for sender in senders), *carried]) if senders else stage.round
        return rounds

    def places(self, sender: int, receiver: int) -> list[int]:
        """Return the places, among the outputs of ``sender``, of the values for ``receiver``, in its order."""
        return list(dict.fromkeys(value.place for value in self.plan.stages[receiver].inputs if value.stage == sender))

    def placeholders(self, number: int) -> dict[tuple[int, int], Handed]:
        """Return the placeholders of the values that other services forward to a stage, by their addresses."""
        if not self.reasons:
            return {}
        return {
            (sender, place): Handed(origin, index)
            for origin, sender in enumerate(self.senders(number))
            for index, place in enumerate(self.places(sender, number))
        }

    def back(self, number: int) -> tuple[int, ...] | None:
        """Return the places of the outputs that the client receives; None if it receives no answer."""
        if not self.is_awaited(number):
            return None
        places = {place for stage, place in self.plan.outputs if stage == number}
        for receiver in range(number + 1, len(self.plan.stages)):
            if not self.is_direct(number, receiver):
                places |= set(self.places(number, receiver))
        return tuple(sorted(places))

    def silent_before(self, number: int) -> list[int]:
        """Return the stages before a stage that send the client only a failure."""
        silent: dict[int, None] = {}
        stack = self.senders(number)
        while stack:
            sender = stack.pop()
            if sender not in silent and not self.is_awaited(sender):
                silent[sender] = None
                stack += self.senders(sender)
        return list(silent)

    def links(
        self, number: int, ids: Callable[[int], Ids], queue: Callable[[int], str], calls: Mapping[int, Any]
    ) -> Links | None:
        """Return the links of the message of a stage; None for a message without links.

        ``calls`` has the calls of the stages that forward values to it.
        """
        if not self.is_linked(number):
            return None
        then = [
            HandOver(
                ids(receiver).message,
                queue(receiver),
                len(self.senders(receiver)),
                tuple(self.places(number, receiver)),
            )
            for receiver in self.receivers(number)
        ]
        return Links(
            ids(number),
            tuple([calls[sender].origin() for sender in self.senders(number)]),
            tuple(then),
            self.back(number) if then else None,
            dict(self._failing(silent, calls[silent]) for silent in self.silent_before(number)),
        )

    def _failing(self, number: int, call: Any) -> tuple[str, Callable[[bytes], Exception]]:
        key, make = call.failing

        def error_of(answer: bytes) -> Exception:
            error: Exception = make(answer)
            self._name(error, number)
            return error

        return key, error_of

    @contextlib.contextmanager
    def naming(self, number: int) -> Iterator[None]:
        """Add the stage to an error of the block, unless the error names a stage."""
        try:
            yield
        except Exception as error:
            self._name(error, number)
            raise

    def _name(self, error: Exception, number: int) -> None:
        """Add the number of the failed stage to an error, once and only if the plan has several stages."""
        stages = self.plan.stages
        if len(stages) == 1 or getattr(error, "rpc_stage", None) is not None:
            return
        note = f"in stage {number + 1} of {len(stages)}, at service {stages[number].service!r}"
        senders = [f"{sender + 1} (service {stages[sender].service!r})" for sender in self.senders(number)]
        if senders:
            note += f", with values from stage {' and '.join(senders)}"
        error.add_note(note)
        with contextlib.suppress(AttributeError):  # a class with __slots__ has only the note
            error.rpc_stage = number + 1  # type: ignore[attr-defined]  # any exception may have the attribute


def _reason(sender: Stage, receiver: Stage, runners: Mapping[str, Runner]) -> str | None:
    """Return the reason why the client carries values between two stages: "" if it does not, None if it is unknown."""
    if sender.service is None or receiver.service is None:
        return None
    start, end = runners.get(sender.service), runners.get(receiver.service)
    return None if start is None else start.why_not_to(end)


def why_not(sender: Any, receiver: Any) -> str:
    """Return the reason why the session ``sender`` forwards no values to ``receiver``; "" if it forwards them.

    The worker of the sender publishes the message of the receiver, so both need the same broker. Values and messages
    meet in the Redis of the answers, so both need the same Redis. Any service can verify a signature by the key of a
    service, but only the client can verify a signature by the secret of the client.
    """
    start, end = getattr(sender, "config", None), getattr(receiver, "config", None)
    if start is None or end is None or any(getattr(session, "runs_here", False) for session in (sender, receiver)):
        return "a service is evaluated in this process"
    if not all(session.transport.can_deposit for session in (sender, receiver)):
        return "answers do not come back by Redis: set RESULT_BACKEND to the same Redis for both services"
    if start.broker_url != end.broker_url:
        return "the services have different brokers"
    if start.result_backend != end.result_backend:
        return "the services have different result backends"
    if sender.signer is not None and sender.signer.key.algorithm == "HS256":
        return f"{start.alias!r} signs with a secret, which only this client can verify; give it a key pair"
    return ""
