"""Writes of instances: a save, and an insert of many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from django_rpc.graph.nodes.base import Effect, Service, ServiceNode, WireRole
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer

__all__ = ["Insert", "Save"]

_ON_CONFLICT = (None, "ignore", "update")


class Save(ServiceNode, frozen=True, eq=False):
    """``instance.save()`` at the server; the value is a dict of the fields that the save changed.

    ``values`` maps attribute names (``customer_id`` for a foreign key) to prepared values. ``adding`` is the instance's
    ``_state.adding``. The other options are the options of ``Model.save``; ``force_insert`` contains models as labels.
    """

    tag = "save"
    effect: ClassVar[Effect] = Effect.WRITE

    model: str
    service: Service
    values: dict[str, Any]
    adding: bool
    force_insert: Annotated[bool | tuple[str, ...], WireRole.OPTION] = False
    force_update: Annotated[bool, WireRole.OPTION] = False
    update_fields: Annotated[tuple[str, ...] | None, WireRole.OPTION] = None
    raw: Annotated[bool, WireRole.OPTION] = False

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        for label in self.force_insert if isinstance(self.force_insert, tuple) else ():
            vocabulary.check_model(label)
        for name in self.values:
            vocabulary.check_identifier(name)

    def check_received(self) -> None:
        for name in self.update_fields or ():
            vocabulary.check_identifier(name)

    @property
    def operation(self) -> str:  # type: ignore[override]  # depends on the state of the instance
        return "create" if self.adding else "update"

    def text(self, write: Writer) -> str:
        return f"{write.model(self.model)}.save({write.arguments((), self.values)})"


class Insert(ServiceNode, frozen=True, eq=False):
    """Many rows of one model in one statement (``bulk_create``), without ``save()`` and signals.

    The value is a list with the ``returning`` values of each row. ``on_conflict`` is ``"ignore"``, ``"update"`` or
    None.
    """

    tag = "insert"
    effect: ClassVar[Effect] = Effect.WRITE
    operation = "create"

    model: str
    service: Service
    fields: tuple[str, ...]
    rows: Annotated[tuple[tuple[Any, ...], ...], WireRole.TABLE]
    returning: Annotated[tuple[str, ...], WireRole.OPTION] = ()
    on_conflict: Annotated[str | None, WireRole.OPTION] = None
    update_fields: Annotated[tuple[str, ...], WireRole.OPTION] = ()
    unique_fields: Annotated[tuple[str, ...], WireRole.OPTION] = ()

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        for name in (*self.fields, *self.returning, *self.update_fields, *self.unique_fields):
            vocabulary.check_identifier(name)

    def check_received(self) -> None:
        if self.on_conflict not in _ON_CONFLICT:
            raise ValueError(f"{self.on_conflict!r} is not a value of on_conflict: use ignore, update or null.")

    @property
    def step_name(self) -> str:
        return "bulk_create"

    def text(self, write: Writer) -> str:
        rows = "1 row" if len(self.rows) == 1 else f"{len(self.rows)} rows"
        return f"{write.model(self.model)}.objects.bulk_create(<{rows}>)"
