"""What the messages of a block wrote: so that whoever leaves the block in failure can be told what stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django_rpc import errors
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node

__all__ = ["NoteWrites", "Written"]

#: Told of the nodes of a message that writes, before it is sent; what it returns is told how the message ended.
NoteWrites = Callable[[Sequence[Node]], Callable[[Exception | None], object]]

#: After these, nobody here knows whether the message was done.
_UNKNOWN = (
    errors.BadResponse,
    errors.OutcomeUnknown,
    errors.PartlyDone,
    errors.ResultBackendUnavailable,
    errors.RpcTimeout,
    errors.VersionMismatch,
    errors.WorkerLost,
)


class Written:
    """One message that writes.  ``state`` is "sent" (nobody waited for its answer), "done", "unknown" or "not done"."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.operations = [_text(node) for node in nodes if node.writes]
        self.state = "sent"

    def ended(self, error: Exception | None) -> None:
        """The message was answered (None), or failed; a service that answers with an error has rolled back."""
        if error is None:
            self.state = "done"
        else:
            self.state = "unknown" if isinstance(error, _UNKNOWN) else "not done"

    def __str__(self) -> str:
        certainty = {"sent": " (sent; nobody waited for the answer)", "unknown": " (perhaps: no answer came)"}
        return "; ".join(self.operations) + certainty.get(self.state, "")


def _text(node: Node) -> str:
    """An operation and its model, as a person reads them.

    >>> from django_rpc.graph.nodes import Method
    >>> tags = Method(ModelSource("shop.Tag", "rpc"), "filter", (), {"name": "a"})
    >>> _text(Method(tags, "update", (), {"name": "b"}))
    "shop.Tag: Tag.objects.filter(name='a').update(name='b')"
    """
    start: Node | None = node
    while start is not None and not hasattr(start, "model"):
        start = getattr(start, "parent", None)
    model = getattr(start, "model", None)
    return f"{model}: {describe(node, 100)}" if model else describe(node, 100)
