"""Canned answers: what a service would say, given by a test.

A message is decoded as the service would, each of its outputs is looked up among the answers, and the values go back
through the bytes of the wire, so that the code under test gets what it would get of the service.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from django.db import connections
from django.db.models import Model
from django.db.models.base import ModelBase

from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.format import describe
from django_rpc.graph.identity import key
from django_rpc.graph.nodes.base import Attr, Column, Insert, Item, Literal, Method, Node, Rows, Save
from django_rpc.graph.plan.pipeline import plan
from django_rpc.graph.values import freeze
from django_rpc.test.rows import as_record, as_table, column_value, row_set
from django_rpc.test.service import transport_in_place
from django_rpc.transport.base import Answered, Options, Reply
from django_rpc.wire.codec import decode_request, encode_request, encode_response
from django_rpc.wire.limits import REQUEST_LIMITS
from django_rpc.wire.messages import Request, Response

__all__ = ["Answers", "UnansweredMessage", "canned_answers"]

#: Methods that change how rows are brought, and not which.
_SAME_ROWS = frozenset(
    "all defer iterator only prefetch_related select_for_update select_related using values values_list "
    "clear_ordering default_ordering sticky clear_select_clause add_fields".split()
)
#: Of these, what Django and the mirrors add behind the user's back.
_SILENT = frozenset({"clear_ordering", "default_ordering", "sticky"})
_LONGEST = 4000


class UnansweredMessage(AssertionError):
    """A message asked for something that the test gave no answer for."""


@dataclass
class _Answer:
    """One answer; ``wanted`` is a node's key, or a pattern of its text."""

    kind: str
    shown: str
    wanted: bytes | re.Pattern[str]
    value: Any
    used: int = 0

    def fits(self, node: Node) -> bool:
        if isinstance(self.wanted, bytes):
            return not node.writes and key(node) == self.wanted
        return self.wanted.fullmatch(describe(node, _LONGEST)) is not None


@dataclass
class Answers:
    """The answers of one service, and what was asked; made by `canned_answers`.

    What is answered is named by a query or a ``Delayed`` (which has to be the same as that of the code under test),
    or by its text, as errors and logs show it, in which ``*`` stands for anything.  Of several answers that fit, the
    last one given counts.
    """

    using: str = "rpc"
    _given: list[_Answer] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def rows(self, query: Any, rows: Iterable[Any]) -> None:
        """The rows of a query: instances of the mirror (saved or not), dicts, or tuples in the order of the columns.

        ``count()``, ``exists()``, ``first()`` and slices of the query are worked out from them.

        >>> answers = Answers()
        >>> answers.rows(Order.objects.filter(status="paid"), [Order(id=1, total=5)])
        >>> answers.rows("Line.objects.filter(order=*)", [])
        """
        self._give("rows", query, list(rows))

    def value(self, asked: Any, value: Any) -> None:
        """The value of anything else: plain data, an instance, a list of them, or a function that makes one.

        For ``save()`` and ``create()`` (their text is ``Order.save(number='1')``) it is a dict of what the service
        filled in; for ``bulk_create()`` a list of keys.

        >>> answers = Answers()
        >>> answers.value(Order.objects.delayed().aggregate(sum=Sum("total")), {"sum": 12})
        >>> answers.value("Order.save(*)", {"id": 7})
        """
        self._give("value", asked, value)

    def error(self, asked: Any, error: Exception) -> None:
        """What is raised in place of an answer: ``Order.DoesNotExist()``, ``RpcTimeout()``, ..."""
        self._give("error", asked, error)

    @property
    def unused(self) -> list[str]:
        """What was given an answer and was not asked for."""
        return [answer.shown for answer in self._given if not answer.used]

    def _give(self, kind: str, asked: Any, value: Any) -> None:
        if isinstance(asked, str):
            pattern = re.compile(".*".join(map(re.escape, asked.split("*"))), re.DOTALL)
            self._given.append(_Answer(kind, asked, pattern, value))
            return
        if isinstance(asked, ModelBase):
            asked = asked._default_manager.all()
        try:
            node = freeze(asked)
        except TypeError:
            node = None
        if not isinstance(node, Node):
            raise TypeError(f"Name what is answered by a query, a Delayed, a mirror or its text, not by {asked!r}.")
        if node.writes:
            raise TypeError(f"A write is named by its text: {describe(node)!r}, where * stands for anything.")
        self._given.append(_Answer(kind, describe(node), key(_as_sent(node)), value))

    # Looking up

    def answer(self, request: bytes) -> bytes:
        """The bytes of the answer to the bytes of a request; raises UnansweredMessage and what `error` was given."""
        decoded = decode_request(request, REQUEST_LIMITS)
        outputs = tuple(self._output(decoded.nodes[index]) for index in decoded.outputs)
        return encode_response(Response(id=decoded.id, outputs=outputs))

    def _pick(self, ways: list[_Way], asked: Node) -> Any:
        """The value by the last answer that fits one of ``ways``, of which the first counts; raises where none does."""
        for given in reversed(self._given):
            for way in ways:
                if given.kind in (way.kind, "error") and given.fits(way.node):
                    given.used += 1
                    if given.kind == "error":
                        raise given.value
                    value = given.value() if _is_function(given.value) else given.value
                    return way.work_out(list(value) if way.kind == "rows" else value)
        raise self._unanswered(asked)

    def _output(self, node: Node) -> Any:
        """The value of an output as the codec writes it."""
        if isinstance(node, Rows):
            return row_set(node.columns, self._pick(_ways_to_rows(node.parent), node), self.using)
        if isinstance(node, Column):
            rows = self._pick(_ways_to_rows(node.parent.parent), node.parent)
            found = [column_value(row, node.name, node.parent.columns, self.using) for row in rows]
            return [item for item in dict.fromkeys(found) if item is not None]
        if isinstance(node, Literal):
            return _with_nodes(node.value, self._output)
        if node.is_query:
            return as_table(self._pick(_ways_to_rows(node), node), self.using)
        return _encoded(node, self._pick(_ways_to_value(node), node), self.using)

    def _unanswered(self, node: Node) -> UnansweredMessage:
        text = describe(node, _LONGEST)
        self.unanswered.append(text)
        known = "".join(f"\n    {answer.kind}: {answer.shown}" for answer in self._given) or " none"
        method = "rows" if isinstance(node, Rows) or node.is_query else "value"
        return UnansweredMessage(
            f"The test gives no answer to\n    {text}\nAnswers are given for:{known}\n"
            f"Give one with answers.{method}(query, ...), or answers.{method}({text!r}, ...)."
        )


def _as_sent(node: Node) -> Node:
    """``node`` as the service would find it in a request, without what nobody wrote."""
    while isinstance(node, Method) and node.name in _SILENT:
        node = node.parent
    stages = plan([Output(node)]).stages
    if len(stages) != 1:
        raise TypeError(f"{describe(node)} is not one message: its answers are given to its parts.")
    request = Request(id="answer", nodes=stages[0].nodes, outputs=stages[0].outputs)
    return decode_request(encode_request(request), REQUEST_LIMITS).nodes[request.outputs[0]]


@dataclass(frozen=True)
class _Way:
    """An answer of this ``kind`` to ``node`` is one to what was asked: ``work_out`` says which."""

    kind: str
    node: Node
    work_out: Callable[[Any], Any] = lambda value: value


def _ways_to_rows(query: Node) -> list[_Way]:
    """The rows of ``query``, from an answer to it or to what it is a part of."""
    ways: list[_Way] = []
    steps: list[Callable[[list[Any]], list[Any]]] = []
    node: Node | None = query
    while node is not None:
        ways.append(_Way("rows", node, partial(_after, tuple(reversed(steps)))))
        step = _step(node)
        if step is None:
            break
        steps.append(step)
        node = getattr(node, "parent", None)
    return ways


def _after(steps: tuple[Callable[[list[Any]], list[Any]], ...], rows: list[Any]) -> list[Any]:
    for step in steps:
        rows = step(rows)
    return rows


def _step(node: Node) -> Callable[[list[Any]], list[Any]] | None:
    """What ``node`` does to the rows of its parent; None where only a database could say."""
    if isinstance(node, Item) and isinstance(node.key, slice):
        return itemgetter(node.key)
    if not isinstance(node, Method):
        return None
    if node.name in _SAME_ROWS or (node.name in ("order_by", "filter") and not (node.args or node.kwargs)):
        return list
    if node.name == "reverse":
        return lambda rows: rows[::-1]
    if node.name == "order_by" and node.args in (("pk",), ("-pk",)):  # by which first() and last() order
        return lambda rows: sorted(rows, key=attrgetter("pk"), reverse=node.args == ("-pk",))
    return None


def _ways_to_value(node: Node) -> list[_Way]:
    ways = [_Way("value", node)]
    if isinstance(node, Method) and node.parent is not None and node.parent.is_query:
        derive = None if node.args or node.kwargs else _DERIVED.get(node.name)
        if derive is not None:
            ways += [_then(way, derive) for way in _ways_to_rows(node.parent)]
    if isinstance(node, Attr) and not node.parent.is_query:
        ways += [_then(way, attrgetter(node.name)) for way in _ways_to_value(node.parent)]
    return ways


def _then(way: _Way, function: Callable[[Any], Any]) -> _Way:
    return _Way(way.kind, way.node, lambda value: function(way.work_out(value)))


_DERIVED: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "exists": bool,
    "first": lambda rows: rows[0] if rows else None,
    "last": lambda rows: rows[-1] if rows else None,
}


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type | Model)


def _with_nodes(value: Any, output: Callable[[Node], Any]) -> Any:
    if isinstance(value, Node):
        return output(value)
    if isinstance(value, list | tuple):
        return type(value)(_with_nodes(item, output) for item in value)
    if isinstance(value, Mapping):
        return {name: _with_nodes(item, output) for name, item in value.items()}
    return value


def _encoded(node: Node, value: Any, using: str) -> Any:
    """A value in the form in which the service gives that of ``node``."""
    if isinstance(node, Save):
        return node.adding, {} if value is None else {name: _plain(item, using) for name, item in dict(value).items()}
    if isinstance(node, Insert):
        return [item if isinstance(item, tuple) else (item,) for item in (value or [()] * len(node.rows))]
    return _plain(value, using)


def _plain(value: Any, using: str) -> Any:
    if isinstance(value, Model):
        return as_record(value, using)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item, using) for item in value]
        return items if isinstance(value, list) else type(value)(items)
    if isinstance(value, Mapping):
        return {name: _plain(item, using) for name, item in value.items()}
    return freeze(value)


class _Canned:
    runs_here = True
    signed = False

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def send(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        *,
        repeatable: bool = False,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return Answered(self.answers.answer(request))


@contextlib.contextmanager
def canned_answers(using: str = "rpc") -> Iterator[Answers]:
    """Messages to the service ``using`` get the answers that the test gives; nothing is sent.

    A message without an answer raises UnansweredMessage where it is sent, and at the end of the block again, should
    the code under test have caught it.

    >>> with canned_answers() as answers:
    ...     answers.rows(Order.objects.filter(status="paid"), [Order(id=1, total=5)])
    ...     Order.objects.filter(status="paid").count()
    1
    """
    answers = Answers(connections[using].alias)
    with transport_in_place(using, _Canned(answers)):
        yield answers
    if answers.unanswered:
        texts = "".join(f"\n    {text}" for text in answers.unanswered)
        raise UnansweredMessage(f"The code under test asked for what the test gives no answer to, and went on:{texts}")
