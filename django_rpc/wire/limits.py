"""How much one message may hold, and the checks that run before a parser sees it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from django_rpc.errors import MessageTooDeep, MessageTooLarge

__all__ = ["REQUEST_LIMITS", "RESPONSE_LIMITS", "Limits", "check_depth", "check_size", "too_deep", "too_large"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a decoder. Each limit has its error class.

    >>> Limits(nodes=10).nodes
    10
    """

    #: Parser exhaustion: a huge message is refused by its length alone, before it is parsed.
    message_bytes: int = 16 * 1024 * 1024
    #: Amplification: each node may cost a query or a copy of a large value.
    nodes: int = 10_000
    #: Amplification: the same large result requested repeatedly.
    outputs: int = 10_000
    #: Amplification: maps within each other multiply; all elements of all maps of a request count.
    elements: int = 100_000
    #: Amplification: nodes evaluated for elements, all in all.
    steps: int = 1_000_000
    #: Stack exhaustion: ``[[[[...`` makes every recursive reader run out of stack.
    depth: int = 200
    #: Quadratic text: a string for which a regular expression or a LIKE runs for minutes.
    text: int = 4 * 1024 * 1024
    #: Quadratic arithmetic: digits of an integer, and of a decimal when written out (``1e999999999``).
    digits: int = 1_000
    #: Schema exhaustion: a decoder is made and kept per list of column types.
    columns: int = 2_000
    #: Unbounded code: bytes of shipped functions, all in all, of a client that may ship any.
    code_bytes: int = 1024 * 1024


#: Limits of a server for messages of clients.
REQUEST_LIMITS = Limits()
#: Limits of a client for answers of its server: the client requested a large result itself.
RESPONSE_LIMITS = Limits(message_bytes=1024 * 1024 * 1024, text=1024 * 1024 * 1024)

_BRACKETS = b"[]{}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_CHUNK = 65_536


def check_size(data: bytes, limits: Limits) -> None:
    """Raise MessageTooLarge if ``data`` is longer than ``limits.message_bytes``."""
    if len(data) > limits.message_bytes:
        raise too_large(len(data), limits)


def too_large(number: int, limits: Limits) -> MessageTooLarge:
    """The error for a message of so many bytes, or of more."""
    return MessageTooLarge(
        f"The message has {number:,} bytes; at most {limits.message_bytes:,} are allowed (limit 'message_bytes'). "
        "Send less at once, or raise the limit at the end that reads it."
    )


def check_depth(data: bytes, limits: Limits) -> None:
    """Raise MessageTooDeep if the JSON text ``data`` nests deeper than ``limits.depth``; linear, without recursion.

    >>> check_depth(b'{"a": "[[[[["}', Limits(depth=1))
    """
    if data.count(b"[") + data.count(b"{") <= limits.depth:
        return
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    level, inside = 0, 0
    for start in range(0, len(data), _CHUNK):  # in parts, since all pieces at once are many times the message
        # Brackets inside strings do not count, and must not hide others: every second piece is outside.
        pieces = data[start : start + _CHUNK].split(b'"')
        brackets = b"".join(pieces[inside::2]).translate(None, _NOT_BRACKETS)
        inside ^= (len(pieces) - 1) & 1
        levels = list(itertools.accumulate(map(_STEPS.__getitem__, brackets), initial=level))
        if max(levels) > limits.depth:
            raise too_deep(limits)
        level = levels[-1]


def too_deep(limits: Limits) -> MessageTooDeep:
    """The error for a message or a value that is nested too deeply."""
    return MessageTooDeep(
        f"Values are nested deeper than {limits.depth} levels (limit 'depth'). Flatten the value, or the condition "
        "or expression; a chain of calls has no such limit."
    )
