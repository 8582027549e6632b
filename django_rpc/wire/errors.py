"""Why a message cannot be written or read: one class per reason, each with the ``code`` that crosses the wire.

>>> raise MessageTooLarge("The message has 9 bytes; at most 8 are allowed. Send less.")
Traceback (most recent call last):
django_rpc.wire.errors.MessageTooLarge: The message has 9 bytes; at most 8 are allowed. Send less.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CODES",
    "BadMessage",
    "BadValue",
    "ForwardReference",
    "HandOverFailed",
    "MessageTooDeep",
    "MessageTooLarge",
    "TooManyNodes",
    "UnknownNode",
    "UnknownTag",
    "VersionMismatch",
    "WireError",
]


class WireError(Exception):
    """Base of all that the codec raises.

    ``node`` is the index of the node that is at fault, ``request_id`` the message's id; None where unknown.
    """

    code: ClassVar[str] = "BadMessage"

    def __init__(self, message: str, *, node: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.request_id = request_id


class BadMessage(WireError):
    """The bytes are no message of this protocol."""


class VersionMismatch(WireError):
    """The message is of another version of the protocol."""

    code = "VersionMismatch"


class MessageTooLarge(WireError):
    """More bytes than ``Limits.message_bytes``."""

    code = "MessageTooLarge"


class MessageTooDeep(WireError):
    """Values nested deeper than ``Limits.depth``."""

    code = "MessageTooDeep"


class TooManyNodes(WireError):
    """More nodes than ``Limits.nodes``, or more outputs than ``Limits.outputs``."""

    code = "TooManyNodes"


class ForwardReference(WireError):
    """A node refers to itself or to a node that stands after it."""

    code = "ForwardReference"


class HandOverFailed(WireError):
    """What another service hands over is missing, or not as that service made it."""

    code = "HandOverFailed"


class UnknownTag(WireError):
    """A one-key object whose key starts with ``$`` and is no tag of this version."""

    code = "UnknownTag"


class UnknownNode(WireError):
    """A node of a kind that this version does not have."""

    code = "UnknownNode"


class BadValue(WireError):
    """A value or a name that is not allowed where it stands."""

    code = "BadValue"


#: Every class by its code, for the end that gets the code in an error report.
CODES: dict[str, type[WireError]] = {
    kind.code: kind
    for kind in (
        BadMessage,
        VersionMismatch,
        MessageTooLarge,
        MessageTooDeep,
        TooManyNodes,
        ForwardReference,
        HandOverFailed,
        UnknownTag,
        UnknownNode,
        BadValue,
    )
}
