"""Canned answers: replies of a service that a test declares.

Each message is decoded as in a service. The value of each output is looked up in the declared answers and encoded to
the bytes of a reply. So the code under test receives the same objects as from a real service.
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
from django_rpc.graph.nodes import Attr, Column, Insert, Item, Literal, Method, Node, Rows, Save
from django_rpc.graph.plan.pipeline import plan
from django_rpc.graph.values import freeze
from django_rpc.graph.walk import map_leaves
from django_rpc.test.rows import as_record, as_table, column_value, row_set
from django_rpc.test.service import transport_in_place
from django_rpc.transport.base import Answered, Options, Reply, Transport
from django_rpc.wire.codec import decode_request, encode_request, encode_response
from django_rpc.wire.limits import REQUEST_LIMITS
from django_rpc.wire.messages import Request, Response

__all__ = ["Answers", "UnansweredMessage", "canned_answers"]

#: Methods that change the form of the rows, and not the set of rows.
_SAME_ROWS = frozenset(
    "all defer iterator only prefetch_related select_for_update select_related using values values_list "
    "clear_ordering default_ordering sticky clear_select_clause add_fields".split()
)
#: Methods of these that Django and the mirrors add by themselves.
_SILENT = frozenset({"clear_ordering", "default_ordering", "sticky"})
_LONGEST = 4000


class UnansweredMessage(AssertionError):
    """A message requested a value without a declared answer."""


@dataclass
class _CannedAnswer:
    """A declared answer; ``target`` is the key of a node, or a pattern of its text."""

    kind: str
    shown: str
    target: bytes | re.Pattern[str]
    value: Any
    used: int = 0

    def fits(self, node: Node) -> bool:
        if isinstance(self.target, bytes):
            return not node.writes and key(node) == self.target
        return self.target.fullmatch(describe(node, _LONGEST)) is not None


@dataclass
class Answers:
    """Declared answers of one service, and the messages without an answer; made by `canned_answers`.

    An answer is for a query or a ``Delayed``, which must be equal to that of the code under test. It can also be for a
    text, as errors and logs show it, with ``*`` for any characters. The last matching answer is used.
    """

    using: str = "rpc"
    _answers: list[_CannedAnswer] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def rows(self, query: Any, rows: Iterable[Any]) -> None:
        """Declare the rows of a query: instances of the mirror (saved or not), dicts, or tuples in column order.

        ``count()``, ``exists()``, ``first()`` and slices of the query are computed from these rows.

        >>> answers = Answers()
        >>> answers.rows(Order.objects.filter(status="paid"), [Order(id=1, total=5)])
        >>> answers.rows("Line.objects.filter(order=*)", [])
        """
        self._add("rows", query, list(rows))

    def value(self, query: Any, value: Any) -> None:
        """Declare any other value: plain data, an instance, a list of instances, or a function that returns the value.

        The value of ``save()`` and ``create()`` (their text is ``Order.save(number='1')``) is a dict of the fields that
        the service fills. The value of ``bulk_create()`` is a list of keys.

        >>> answers = Answers()
        >>> answers.value(Order.objects.delayed().aggregate(sum=Sum("total")), {"sum": 12})
        >>> answers.value("Order.save(*)", {"id": 7})
        """
        self._add("value", query, value)

    def error(self, query: Any, error: Exception) -> None:
        """Declare an exception to raise instead of an answer: ``Order.DoesNotExist()``, ``RpcTimeout()``, ..."""
        self._add("error", query, error)

    @property
    def unused(self) -> list[str]:
        """Return the texts of the answers that no message requested."""
        return [answer.shown for answer in self._answers if not answer.used]

    def _add(self, kind: str, query: Any, value: Any) -> None:
        if isinstance(query, str):
            pattern = re.compile(".*".join(map(re.escape, query.split("*"))), re.DOTALL)
            self._answers.append(_CannedAnswer(kind, query, pattern, value))
            return
        if isinstance(query, ModelBase):
            query = query._default_manager.all()
        try:
            node = freeze(query)
        except TypeError:
            node = None
        if not isinstance(node, Node):
            raise TypeError(f"An answer is for a query, a Delayed, a mirror or a text, not for {query!r}.")
        if node.writes:
            raise TypeError(f"The answer to a write is for its text: {describe(node)!r}, with * for any characters.")
        self._answers.append(_CannedAnswer(kind, describe(node), key(_as_sent(node)), value))

    # Lookup

    def answer(self, request: bytes) -> bytes:
        """Return the bytes of the reply to the bytes of a request; raises UnansweredMessage or a declared error."""
        decoded = decode_request(request, REQUEST_LIMITS)
        outputs = tuple(self._output(decoded.nodes[index]) for index in decoded.outputs)
        return encode_response(Response(id=decoded.id, outputs=outputs))

    def _pick(self, ways: list[_Way], requested: Node) -> Any:
        """Return the value of the last answer that matches one of ``ways``; raises if there is none."""
        for answer in reversed(self._answers):
            for way in ways:
                if answer.kind in (way.kind, "error") and answer.fits(way.node):
                    answer.used += 1
                    if answer.kind == "error":
                        raise answer.value
                    value = answer.value() if _is_function(answer.value) else answer.value
                    return way.derive(list(value) if way.kind == "rows" else value)
        raise self._unanswered(requested)

    def _output(self, node: Node) -> Any:
        """Return the value of an output in the form that the codec encodes."""
        if isinstance(node, Rows):
            return row_set(node.columns, self._pick(_ways_to_rows(node.parent), node), self.using)
        if isinstance(node, Column):
            rows = self._pick(_ways_to_rows(node.parent.parent), node.parent)
            values = [column_value(row, node.name, node.parent.columns, self.using) for row in rows]
            return [value for value in dict.fromkeys(values) if value is not None]
        if isinstance(node, Literal):
            return _with_nodes(node.value, self._output)
        if node.is_query:
            return as_table(self._pick(_ways_to_rows(node), node), self.using)
        return _encoded(node, self._pick(_ways_to_value(node), node), self.using)

    def _unanswered(self, node: Node) -> UnansweredMessage:
        text = describe(node, _LONGEST)
        self.unanswered.append(text)
        declared = "".join(f"\n    {answer.kind}: {answer.shown}" for answer in self._answers) or " none"
        method = "rows" if isinstance(node, Rows) or node.is_query else "value"
        return UnansweredMessage(
            f"The test declares no answer to\n    {text}\nDeclared answers:{declared}\n"
            f"Declare it with answers.{method}(query, ...), or answers.{method}({text!r}, ...)."
        )


def _as_sent(node: Node) -> Node:
    """Return ``node`` as a service decodes it from a request, without the methods that Django adds."""
    while isinstance(node, Method) and node.name in _SILENT:
        node = node.parent
    stages = plan([Output(node)]).stages
    if len(stages) != 1:
        raise TypeError(f"{describe(node)} is more than one message: declare the answers of its parts.")
    request = Request(id="answer", nodes=stages[0].nodes, outputs=stages[0].outputs)
    return decode_request(encode_request(request), REQUEST_LIMITS).nodes[request.outputs[0]]


@dataclass(frozen=True)
class _Way:
    """Derivation of a requested value: ``derive`` computes it from an answer of this ``kind`` to ``node``."""

    kind: str
    node: Node
    derive: Callable[[Any], Any] = lambda value: value


def _ways_to_rows(query: Node) -> list[_Way]:
    """Return the ways to the rows of ``query``: from its own answer, or from the answer to a query that it extends."""
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
    """Return the effect of ``node`` on the rows of its parent; None if only a database can compute it."""
    if isinstance(node, Item) and isinstance(node.key, slice):
        return itemgetter(node.key)
    if not isinstance(node, Method):
        return None
    if node.name in _SAME_ROWS or (node.name in ("order_by", "filter") and not (node.args or node.kwargs)):
        return list
    if node.name == "reverse":
        return lambda rows: rows[::-1]
    if node.name == "order_by" and node.args in (("pk",), ("-pk",)):  # the order of first() and last()
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
    return _Way(way.kind, way.node, lambda value: function(way.derive(value)))


_DERIVED: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "exists": bool,
    "first": lambda rows: rows[0] if rows else None,
    "last": lambda rows: rows[-1] if rows else None,
}


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type | Model)


def _with_nodes(value: Any, output: Callable[[Node], Any]) -> Any:
    return map_leaves(value, lambda leaf: output(leaf) if isinstance(leaf, Node) else leaf)


def _encoded(node: Node, value: Any, using: str) -> Any:
    """Return ``value`` in the form of a service's value of ``node``."""
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


class _CannedTransport(Transport):
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
    """Answer messages to the service ``using`` with answers that the test declares; no message is sent.

    A message without an answer raises UnansweredMessage. The end of the block raises it again, because the code under
    test may have caught it.

    >>> with canned_answers() as answers:
    ...     answers.rows(Order.objects.filter(status="paid"), [Order(id=1, total=5)])
    ...     Order.objects.filter(status="paid").count()
    1
    """
    answers = Answers(connections[using].alias)
    with transport_in_place(using, _CannedTransport(answers)):
        yield answers
    if answers.unanswered:
        texts = "".join(f"\n    {text}" for text in answers.unanswered)
        raise UnansweredMessage(f"The code under test sent messages without a declared answer, and continued:{texts}")
