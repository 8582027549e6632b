"""The rows of a model: the start of each chain of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec.structs import force_setattr

from django_rpc.graph.nodes.base import Service, ServiceNode, WireRole
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer

__all__ = ["ModelSource"]


class ModelSource(ServiceNode, frozen=True, eq=False):
    """All rows of a server's model that this client may see.

    ``model`` is ``"app_label.ModelName"`` at the server, or ``"app_label.ModelName.field"`` for the automatic through
    model of a many-to-many field. ``service`` is the client's name for the server. It stays at the client, like
    ``mirror``, which is the client's class for the model and is not used by the graph. ``pinned`` means that the user
    chose the service for this query. A pinned query does not move to another service with an outer query (`retarget`).
    ``base`` means the rows of the model's base manager, which Django uses for related rows, instead of the default
    manager. ``runner`` is a session for the service; without it, the session is looked up by the name of the service.
    """

    tag = "source"
    operation = "read"
    is_source = True

    model: str
    service: Service
    mirror: Any = None
    pinned: Annotated[bool, WireRole.LOCAL] = False
    base: Annotated[bool, WireRole.TRAILING] = False
    runner: Any = None

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        force_setattr(self, "is_query", True)

    def text(self, write: Writer) -> str:
        return f"{write.model(self.model)}.objects"

    @property
    def step_name(self) -> str:
        return ""  # the model is the whole name
