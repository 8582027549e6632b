"""Log of the messages of a block that write, for the error of a block that cannot be rolled back."""

from __future__ import annotations

from django_rpc import errors
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.telemetry.hooks import Sent

__all__ = ["WriteMessage"]

#: Errors after which the client does not know if the message was executed.
_UNKNOWN = (
    errors.BadResponse,
    errors.OutcomeUnknown,
    errors.PartlyDone,
    errors.ResultBackendUnavailable,
    errors.RpcTimeout,
    errors.VersionMismatch,
    errors.WorkerLost,
)
_CERTAINTY = {"sent": " (sent without a wait for its answer)", "unknown": " (perhaps: no answer arrived)"}


class WriteMessage:
    """Message that writes. ``state`` is "sent" (without a wait for its answer), "done", "unknown" or "not done".

    ``str()`` renders its operations; most messages are never rendered.
    """

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self.state = "sent"
        self.error: Exception | None = None

    def ended(self, message: Sent) -> None:
        """Note the end of a wait. A service that answers with an error has rolled back."""
        self.error = message.error
        if message.error is None:
            self.state = "done"
        else:
            self.state = "unknown" if isinstance(message.error, _UNKNOWN) else "not done"

    def __str__(self) -> str:
        operations = [_text(node) for node in self._nodes if node.writes]
        return "; ".join(operations) + _CERTAINTY.get(self.state, "")


def _text(node: Node) -> str:
    """Return the text of an operation with its model.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> tags = Method(ModelSource("shop.Tag", "rpc"), "filter", (), {"name": "a"})
    >>> _text(Method(tags, "update", (), {"name": "b"}))
    "shop.Tag: Tag.objects.filter(name='a').update(name='b')"
    """
    start: Node | None = node
    while start is not None and not hasattr(start, "model"):
        start = getattr(start, "parent", None)
    model = getattr(start, "model", None)
    return f"{model}: {describe(node, 100)}" if model else describe(node, 100)
