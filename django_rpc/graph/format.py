"""Text of nodes, as the user wrote them: for errors, logs, pictures and ``repr``.

The text is always short. Long values are shortened, large containers are read only in part, and the middle of a long
chain is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from django_rpc.graph.nodes import Node
from django_rpc.graph.values import Condition, Expr, Reference
from django_rpc.graph.vocabulary.names import POSTGRES

__all__ = ["Writer", "describe", "shorten", "step"]

_ITEMS = 4  # number of items shown of a container
_STEPS = 24  # number of steps shown at each end of a chain
_DEPTH = 6  # maximum nesting of queries, operators and containers
_MARK = "…"


class Writer(NamedTuple):
    """Formats the arguments of a node for its text, in about ``limit`` characters each.

    ``depth`` is the maximum nesting of queries, operators and containers.
    """

    limit: int
    depth: int

    def value(self, value: Any) -> str:
        """Return the text of an argument."""
        return _value(value, self.limit, self.depth)

    def arguments(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the text of the arguments of a call."""
        return _arguments(args, kwargs, self.limit, self.depth)

    def model(self, label: str) -> str:
        """Return ``Order`` for ``shop.Order``, ``Order.tags.through`` for ``shop.Order.tags``."""
        return _model(label)

    def deeper(self) -> Writer:
        """Return a writer for a step that does not count as a level of nesting."""
        return Writer(self.limit, self.depth + 1)


def describe(node: Node, limit: int = 200) -> str:
    """Return the text of ``node`` and of the nodes that it needs, as the user would write it, in about ``limit``
    characters.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> vip = Method(ModelSource("shop.Client", "rpc"), "filter", (), {"tier": "vip"})
    >>> pks = Method(vip, "values", ("pk",))
    >>> orders = Method(ModelSource("shop.Order", "rpc"), "filter", (), {"client__in": pks})
    >>> describe(Method(orders, "first"))
    "Order.objects.filter(client__in=Client.objects.filter(tier='vip').values('pk')).first()"
    """
    return _chain(node, max(limit, 20), _DEPTH)


def step(node: Node, limit: int = 60) -> str:
    """Return only the last step, for example ``.filter(tier='vip')``.

    >>> from django_rpc.graph.nodes import Attr, Method, ModelSource
    >>> step(Attr(Method(ModelSource("shop.Order", "rpc"), "first"), "number"))
    '.number'
    """
    return shorten(node.text(Writer(limit, 1)), limit)


def shorten(text: str, limit: int) -> str:
    """Return ``text``, without its middle if it is longer than ``limit``.

    >>> shorten("abcdefghij", 5)
    'ab…ij'
    """
    if len(text) <= limit:
        return text
    tail = max((limit - 1) // 2, 0)
    head = max(limit - 1 - tail, 0)
    return text[:head] + _MARK + (text[len(text) - tail :] if tail else "")


def _chain(node: Node, limit: int, depth: int) -> str:
    """Describe a node and its chain of parents; leave out the middle of a chain that is too long."""
    if depth == 0:
        return _MARK
    steps: list[Node] = [node]
    while (parent := getattr(steps[-1], "parent", None)) is not None:
        steps.append(parent)
    steps.reverse()
    best = ""
    if len(steps) <= 2 * _STEPS:
        for deeper in range(1, depth + 1):  # show as much of the nested queries as fits
            write = Writer(limit, deeper)
            text = "".join([part.text(write) for part in steps])
            if len(text) > limit or text == best:
                break
            best = text
    if best:
        return best
    room = max(limit // max(min(len(steps), 6), 1), 24)
    first = shorten(steps[0].text(Writer(room, 1)), max(room, limit // 3) if len(steps) > 1 else limit)
    return first + _fit(steps[1:], limit - len(first), room, 1)


def _fit(steps: list[Node], limit: int, room: int, depth: int) -> str:
    """Describe as many steps from both ends as fit into ``limit``, starting with the last step."""
    head: list[str] = []
    tail: list[str] = []
    left, right = 0, len(steps)
    from_end = True
    while left < right and left + len(steps) - right < 2 * _STEPS:
        part = steps[right - 1] if from_end else steps[left]
        text = shorten(part.text(Writer(room, depth)), room)
        if tail and len(text) + 1 > limit:
            break
        limit -= len(text)
        if from_end:
            tail.insert(0, text)
            right -= 1
        else:
            head.append(text)
            left += 1
        from_end = not from_end
    return "".join([*head, *([_MARK] if left < right else []), *tail])


def _value(value: Any, limit: int, depth: int) -> str:
    """Describe any argument, in about ``limit`` characters."""
    if isinstance(value, Node):
        return _chain(value, max(limit * 3 // 4, 24), depth - 1)
    if isinstance(value, str | bytes):
        if len(value) <= limit:
            return repr(value)
        start = repr(value[: max(limit - 4, 8)])
        return f"{start[:-1]}{_MARK}{start[-1]}"
    if isinstance(value, bool | int | float) or value is None:
        return shorten(repr(value), limit) if not isinstance(value, int) or -(10**40) < value < 10**40 else "<big int>"
    if depth <= 0 and isinstance(value, list | tuple | set | frozenset | dict | Expr | Condition | Reference):
        return _MARK
    for type_, write in _WRITERS:
        if isinstance(value, type_):
            return write(value, limit, depth)
    return shorten(str(value), limit) if type(value).__module__ != "builtins" else shorten(repr(value), limit)


def _many(values: Iterable[Any], count: int, limit: int, depth: int) -> str:
    """Describe the first few of many values, joined by commas."""
    shown = [_value(value, limit, depth) for value in itertools.islice(values, _ITEMS)]
    if count > _ITEMS:
        shown.append(f"{_MARK} {count} in all")
    return ", ".join(shown)


def _list(value: Any, limit: int, depth: int) -> str:
    return f"[{_many(value, len(value), limit, depth - 1)}]"


def _tuple(value: Any, limit: int, depth: int) -> str:
    return f"({_many(value, len(value), limit, depth - 1)}{',' if len(value) == 1 else ''})"


def _set(value: Any, limit: int, depth: int) -> str:
    return f"{{{_many(value, len(value), limit, depth - 1)}}}" if value else "set()"


def _dict(value: Any, limit: int, depth: int) -> str:
    shown = [
        f"{_value(key, limit, depth - 1)}: {_value(item, limit, depth - 1)}"
        for key, item in itertools.islice(value.items(), _ITEMS)
    ]
    return "{" + ", ".join([*shown, *([f"{_MARK} {len(value)} in all"] if len(value) > _ITEMS else [])]) + "}"


def _slice(value: Any, limit: int, depth: int) -> str:
    start, stop = ("" if end is None else _value(end, limit, depth) for end in (value.start, value.stop))
    return f"{start}:{stop}" + ("" if value.step is None else f":{_value(value.step, limit, depth)}")


def _expression(value: Any, limit: int, depth: int) -> str:
    return f"{value.name.removeprefix(POSTGRES)}({_arguments(value.args, value.kwargs, limit, depth - 1)})"


def _reference(value: Any, limit: int, depth: int) -> str:
    return f"<{_model(value.model)} {_arguments((), {'pk': value.key}, limit, depth - 1)}>"


def _condition(value: Any, limit: int, depth: int) -> str:
    """Describe a ``Q`` in Django's syntax: ``~(Q(a=1) | Q(b=2))``."""
    joint = {"AND": ", ", "OR": " | ", "XOR": " ^ "}.get(value.connector, ", ")
    shown = [
        _pair(child, limit, depth) if joint == ", " else f"Q({_pair(child, limit, depth)})"
        for child in value.children[:_ITEMS]
    ]
    if len(value.children) > _ITEMS:
        shown.append(f"{_MARK} {len(value.children)} in all")
    text = joint.join(shown)
    if joint == ", ":
        text = f"Q({text})"
    elif value.negated:
        text = f"({text})"
    return "~" + text if value.negated else text


def _pair(child: Any, limit: int, depth: int) -> str:
    if isinstance(child, tuple) and len(child) == 2 and isinstance(child[0], str):
        return f"{child[0]}={_value(child[1], limit, depth)}"
    return _value(child, limit, depth - 1)


_WRITERS: tuple[tuple[type, Callable[[Any, int, int], str]], ...] = (
    (list, _list),
    (tuple, _tuple),
    (set, _set),
    (frozenset, _set),
    (dict, _dict),
    (slice, _slice),
    (Expr, _expression),
    (Condition, _condition),
    (Reference, _reference),
)


def _arguments(args: Iterable[Any], kwargs: Mapping[str, Any], limit: int, depth: int) -> str:
    """Describe the arguments of a call; show a top-level plain ``Q`` as the keywords that it was made from."""
    shown: list[str] = []
    args = tuple(args)
    for value in args[:_ITEMS]:
        if isinstance(value, Condition) and value.connector == "AND" and not value.negated and value.children:
            shown += [_pair(child, limit, depth) for child in value.children[:_ITEMS]]
            if len(value.children) > _ITEMS:
                shown.append(f"{_MARK} {len(value.children)} in all")
        else:
            shown.append(_value(value, limit, depth))
    shown += [f"{name}={_value(value, limit, depth)}" for name, value in itertools.islice(kwargs.items(), _ITEMS)]
    if len(args) > _ITEMS or len(kwargs) > _ITEMS:
        shown.append(f"{_MARK} {len(args) + len(kwargs)} in all")
    return ", ".join(shown)


def _model(label: str) -> str:
    """Return ``Order`` for ``shop.Order``, ``Order.tags.through`` for ``shop.Order.tags``."""
    _, _, rest = label.partition(".")
    return f"{rest}.through" if "." in rest else rest
