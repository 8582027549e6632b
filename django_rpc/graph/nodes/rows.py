"""Rows of a query as database values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_rpc.graph.nodes.base import Node, Place
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer

__all__ = ["Column", "Rows"]


class Rows(Node, frozen=True, eq=False):
    """The rows of a query as tuples of database values, in the order of ``columns``.

    ``columns`` are lookup paths (``"id"``, ``"customer__name"``) or names of annotations. The value is a
    ``values.RowSet``. The client's fields turn the values into Python values (``from_db_value``).
    """

    tag = "rows"
    place = Place.PARENT
    operation = "read"

    parent: Node
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        for column in self.columns:
            vocabulary.check_path(column)

    def text(self, write: Writer) -> str:
        return ""  # the user wrote only the query


class Column(Node, frozen=True, eq=False):
    """The distinct values, without None, of one column of a ``Rows`` node; a prefetch filters by them."""

    tag = "column"
    place = Place.PARENT
    operation = "read"

    parent: Rows
    name: str

    def __post_init__(self) -> None:
        vocabulary.check_path(self.name)

    def check_received(self) -> None:
        if not isinstance(self.parent, Rows):
            raise ValueError("A column is taken from rows.")
        if self.name not in self.parent.columns:
            raise ValueError(f"{self.name!r} is not one of the columns of the rows that it is taken from.")

    def text(self, write: Writer) -> str:
        return f".values_list({self.name!r})"
