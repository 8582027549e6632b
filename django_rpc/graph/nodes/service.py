"""Questions to a service about itself: its models, its versions, and the outcome of an earlier request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_rpc.graph.nodes.base import Service, ServiceNode
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer

__all__ = ["DescribeModels", "RequestOutcome", "ServiceInfo"]


class DescribeModels(ServiceNode, frozen=True, eq=False):
    """The models that the service exposes to this client: ``models`` and the models that they lead to, or all models.

    The value is plain data: `schema.as_data`. Models that this client may not see are left out.
    """

    tag = "schema"
    operation = "schema"

    service: Service
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in self.models:
            vocabulary.check_model(label)

    def text(self, write: Writer) -> str:
        return f"schema({', '.join(map(repr, self.models))})"


class RequestOutcome(ServiceNode, frozen=True, eq=False):
    """The outcome of an earlier request of this client, by its id.

    With ``settle``, a request that has not run will not run later. The value is a dict. ``state`` is "done", "refused",
    "withdrawn", "partly" or "unknown". If the service has a trace of the request, ``at`` is its time, and ``answer`` is
    the text of the response.
    """

    tag = "outcome"
    operation = "outcome"

    service: Service
    request: str
    settle: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_request_id(self.request)

    def text(self, write: Writer) -> str:
        return f"outcome({self.request!r}{', settle=True' if self.settle else ''})"


class ServiceInfo(ServiceNode, frozen=True, eq=False):
    """The service itself: its versions, its clock, and its name for this client.

    The value is a dict: ``versions`` as in `wire.versions`, ``service`` and ``client`` by the service's settings,
    ``functions`` that this client may call. ``at`` is the service's time (seconds since the epoch) after ``seconds`` of
    work on the request.
    """

    tag = "about"
    operation = "about"

    service: Service

    def text(self, write: Writer) -> str:
        return "about()"
