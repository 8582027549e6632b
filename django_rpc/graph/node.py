"""The nodes of the expression graph: what a client asks for, step by step, before anything is sent.

A node is immutable and points to the nodes it is made from, never the other way, so adding one to a
graph of any size costs the same, and a graph cannot hold a cycle.  The kinds are few and closed, in two
tables: those of ``KINDS`` cross the wire, and the codec, the server's visitor and the policy each have one
entry for each; those of ``LOCAL_KINDS`` run in the client, and only `evaluate` has one for them.  Everything
that works on any node (its text, its hash, its place in a plan) has one entry for each of both.

A node checks itself when it is built, so that a mistake shows at the user's own line.
"""

from __future__ import annotations

import enum
import functools
import itertools
import sys
from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec.structs import force_setattr

from django_rpc.graph import vocabulary
from django_rpc.graph.values import ATOMS, Condition, Expr, freeze

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "LOCAL_FIELDS",
    "LOCAL_KINDS",
    "About",
    "Apply",
    "Attr",
    "Call",
    "Column",
    "Effect",
    "Held",
    "Insert",
    "Item",
    "Literal",
    "Method",
    "Node",
    "Operator",
    "Outcome",
    "Rows",
    "Save",
    "Schema",
    "Source",
    "callsite",
    "is_own_module",
    "nodes_in",
    "own_fields",
]


class Effect(enum.Enum):
    """What evaluating a node does to the server's data.

    Equal reads may be merged into one; writes never are, and keep the order in which they were built.
    """

    READ = "read"
    WRITE = "write"


#: Frames of these packages are never "the user's line".
_OWN_PACKAGES = ("django_rpc.", "django.", "asgiref.")
_USER_PACKAGES = ("django_rpc.demo.",)


#: Whether a module's frames are ours, by its name.
_own_modules: dict[str, bool] = {}

#: One tuple a line of source, whatever the number of nodes that it builds.
_sites: dict[tuple[str, int], tuple[str, int]] = {}


def is_own_module(module: str) -> bool:
    """Whether what is written in a module of this name is ours, Django's or asgiref's, and not the user's."""
    own = _own_modules.get(module)
    if own is None:
        name = module + "."
        own = _own_modules[module] = name.startswith(_OWN_PACKAGES) and not name.startswith(_USER_PACKAGES)
    return own


def callsite(skip: int = 0) -> tuple[str, int]:
    """The file and line of the innermost frame that belongs to neither us nor Django.

    ``skip`` is how many frames above the caller are known to be ours.
    """
    frame = sys._getframe(skip + 1)
    while True:
        module = frame.f_globals.get("__name__", "")
        own = _own_modules.get(module)
        if own is None:
            own = is_own_module(module)
        if not own or frame.f_back is None:
            break
        frame = frame.f_back
    site = (frame.f_code.co_filename, frame.f_lineno)
    return _sites.setdefault(site, site)


#: Counts the nodes of this process as they are built.
_built = itertools.count(1)

#: Fields of a node that stay where it was built: they do not cross the wire.
LOCAL_FIELDS = frozenset({"where", "is_query", "is_local", "order", "digest", "below", "mirror"})


class Node(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One step.  Subclasses declare their own fields, which are what crosses the wire.

    ``where`` is the user's file and line.  ``is_query`` is True when the server evaluates this node to a
    queryset, which SQL can nest; it is set once, from the node's inputs, since a property that asks the
    parent would recurse as deep as the graph.  ``is_local`` is True, and set in the same way, where methods are
    called in the client, on whatever Python object the value is there.  ``order`` grows with each node that this
    process builds, so sorting by it puts inputs first and keeps the user's own order of reads and writes.
    ``digest`` is the content's hash, once somebody asked for it (``content.key``); ``below`` are the inputs, likewise.
    """

    effect: ClassVar[Effect] = Effect.READ

    where: tuple[str, int] | None = None
    is_query: bool = False
    is_local: bool = False
    order: int = msgspec.field(default_factory=_built.__next__)
    digest: bytes | None = None
    below: tuple[Node, ...] | None = None

    def inputs(self) -> tuple[Node, ...]:
        """The nodes that this one is made from, in the order of its fields."""
        if self.below is not None:  # every phase of the planner asks
            return self.below
        found: list[Node] = []
        for name in own_fields(type(self)):
            value = getattr(self, name)
            kind = type(value)
            if kind in ATOMS or ((kind is tuple or kind is dict) and not value):  # most arguments
                continue
            _find(value, found)
        below = tuple(found)
        force_setattr(self, "below", below)
        return below

    def __repr__(self) -> str:
        from django_rpc.graph.describe import describe  # which knows the kinds

        return f"<{type(self).__name__} {describe(self)}>"

    def __copy__(self) -> Node:
        return self  # immutable, and a copy of a write would be a second write

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self

    @property
    def writes(self) -> bool:
        return self.effect is Effect.WRITE


@functools.cache
def own_fields(kind: type[Node]) -> tuple[str, ...]:
    """The names of the fields that ``kind`` declares itself, in their order: what crosses the wire."""
    return tuple(name for name in kind.__struct_fields__ if name not in LOCAL_FIELDS)


class Source(Node, frozen=True, eq=False):
    """All rows of a server's model that this client may see.

    ``model`` is ``"app_label.ModelName"`` at the server, or ``"app_label.ModelName.field"`` for the
    automatic through model of a many-to-many field.  ``service`` is the client's name for the server:
    its alias in DATABASES.  It stays at the client, as does ``mirror``: the client's own class for the model,
    which nobody here looks into.  ``pinned``: the user chose the service for this query, so it does not follow
    one that it is nested in to another (`moved`).  ``base``: the rows of the model's base manager, which Django uses
    for related rows, in place of those of its default manager.
    """

    model: str
    service: str
    mirror: Any = None
    pinned: bool = False
    base: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        force_setattr(self, "is_query", True)


class Method(Node, frozen=True, eq=False):
    """A method of the closed vocabulary (``vocabulary.METHODS``), called on the value of ``parent``."""

    parent: Node
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        vocabulary.check_method(self.name)
        if self.parent.is_query and vocabulary.METHODS[self.name].returns_query:
            force_setattr(self, "is_query", True)

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        return Effect.WRITE if vocabulary.METHODS[self.name].writes else Effect.READ


class Call(Node, frozen=True, eq=False):
    """A method that the server registered by name (``ModelRpc.methods``); it may write."""

    effect: ClassVar[Effect] = Effect.WRITE

    parent: Node
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)


class Attr(Node, frozen=True, eq=False):
    """An attribute of a value: a field, a relation or a computed field of a model instance."""

    parent: Node
    name: str

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)
        if self.parent.is_local:
            force_setattr(self, "is_local", True)


class Item(Node, frozen=True, eq=False):
    """``parent[key]``; a slice of a query is a query."""

    parent: Node
    key: Any

    def __post_init__(self) -> None:
        if self.parent.is_query and isinstance(self.key, slice):
            force_setattr(self, "is_query", True)
        if self.parent.is_local:
            force_setattr(self, "is_local", True)


class Operator(Node, frozen=True, eq=False):
    """A Python operator by the name that module ``operator`` gives it, on one or two values."""

    name: str
    args: tuple[Any, ...]

    def __post_init__(self) -> None:
        vocabulary.check_operator(self.name, len(self.args))
        for value in self.args:
            if isinstance(value, Node) and value.is_local:
                force_setattr(self, "is_local", True)


class Literal(Node, frozen=True, eq=False):
    """A plain value, or a container that holds nodes."""

    value: Any

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)


class Rows(Node, frozen=True, eq=False):
    """The rows of a query as tuples of database values, in the order of ``columns``.

    ``columns`` are lookup paths (``"id"``, ``"customer__name"``) or names of annotations.  The value is a
    ``values.RowSet``.  The client's fields turn the values into Python ones (``from_db_value``).
    """

    parent: Node
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        for column in self.columns:
            vocabulary.check_path(column)


class Column(Node, frozen=True, eq=False):
    """The distinct values, without None, of one column of a ``Rows`` node: what a prefetch filters by."""

    parent: Rows
    name: str

    def __post_init__(self) -> None:
        vocabulary.check_path(self.name)


class Save(Node, frozen=True, eq=False):
    """``instance.save()`` at the server; the value is a dict of the fields that the save changed.

    ``values`` maps attribute names (``customer_id`` for a foreign key) to prepared values.  ``adding`` is the
    instance's ``_state.adding``; the other options are those of ``Model.save``, where the models in ``force_insert``
    are labels.
    """

    effect: ClassVar[Effect] = Effect.WRITE

    model: str
    service: str
    values: dict[str, Any]
    adding: bool
    force_insert: bool | tuple[str, ...] = False
    force_update: bool = False
    update_fields: tuple[str, ...] | None = None
    raw: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        for label in self.force_insert if isinstance(self.force_insert, tuple) else ():
            vocabulary.check_model(label)
        for name in self.values:
            vocabulary.check_identifier(name)


class Insert(Node, frozen=True, eq=False):
    """Many rows of one model in one statement (``bulk_create``), without ``save()`` and signals.

    The value is a list with the ``returning`` values of each row.  ``on_conflict`` is ``"ignore"``,
    ``"update"`` or None.
    """

    effect: ClassVar[Effect] = Effect.WRITE

    model: str
    service: str
    fields: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    returning: tuple[str, ...] = ()
    on_conflict: str | None = None
    update_fields: tuple[str, ...] = ()
    unique_fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vocabulary.check_model(self.model)
        for name in (*self.fields, *self.returning, *self.update_fields, *self.unique_fields):
            vocabulary.check_identifier(name)


class Schema(Node, frozen=True, eq=False):
    """What the service exposes to this client of ``models`` and of those that they lead to; of all without any.

    The value is plain data: `schema.as_data`.  A model that this client does not see is not in it.
    """

    service: str
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in self.models:
            vocabulary.check_model(label)


class Outcome(Node, frozen=True, eq=False):
    """What became of an earlier request of this client, by its id.

    With ``settle``, one that has not been done will not be done any more.  The value is a dict: ``state`` is "done",
    "refused", "withdrawn", "partly" or "unknown"; where there is a trace of it, ``at`` is when, and ``answer`` the text
    of the response.
    """

    service: str
    request: str
    settle: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_request_id(self.request)


class About(Node, frozen=True, eq=False):
    """The service itself: its versions, its clock, as whom it knows this client.

    The value is a dict: ``versions`` as in `wire.versions`, ``service`` and ``client`` by the service's settings,
    ``functions`` that this client may call; ``at``, the service's time (seconds since the epoch) when it has worked
    for ``seconds`` on the request.
    """

    service: str


class Held(Node, frozen=True, eq=False):
    """A Python object of the client that is no plain data; what it holds in containers may be nodes.

    ``label`` is the key that the user gave it.  Without one, a ``pure`` object has the key of its content, and
    another a key of its own.  ``nout`` is its length, where the user said it.
    """

    value: Any
    label: str | None = None
    pure: bool = False
    nout: int | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)


class Apply(Node, frozen=True, eq=False):
    """A call of a Python function in the client: ``function(*args, **kwargs)``.

    ``function`` may be a node itself.  The other fields are those of `Held`, where ``pure`` says that equal
    arguments give equal results; so equal pure calls are one.
    """

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    label: str | None = None
    pure: bool = False
    nout: int | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)


#: Every kind, by its name on the wire.  Codec, server visitor and policy are checked against this.
KINDS: dict[str, type[Node]] = {
    "source": Source,
    "method": Method,
    "call": Call,
    "attr": Attr,
    "item": Item,
    "operator": Operator,
    "literal": Literal,
    "rows": Rows,
    "column": Column,
    "save": Save,
    "insert": Insert,
    "schema": Schema,
    "outcome": Outcome,
    "about": About,
}

#: The kinds that never cross the wire, since they run in the client.
LOCAL_KINDS: dict[str, type[Node]] = {
    "held": Held,
    "apply": Apply,
}

#: Both, also the kinds that other modules of this room add.
ALL_KINDS: Mapping[str, type[Node]] = ChainMap(KINDS, LOCAL_KINDS)


def nodes_in(value: Any) -> Iterator[Node]:
    """The nodes inside one argument value, at any depth of containers, conditions and expressions."""
    found: list[Node] = []
    _find(value, found)
    return iter(found)


def _find(value: Any, found: list[Node]) -> None:
    kind = type(value)
    if isinstance(value, Node):
        found.append(value)
    elif kind in _SEQUENCES:
        for item in value:
            if type(item) not in ATOMS:
                _find(item, found)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                _find(key, found)
            if type(item) not in ATOMS:
                _find(item, found)
    elif kind is Expr:
        _find(value.args, found)
        _find(value.kwargs, found)
    elif kind is Condition:
        _find(value.children, found)
    elif kind is slice:
        _find((value.start, value.stop, value.step), found)
    elif isinstance(value, dict):
        _find(dict(value), found)
    elif isinstance(value, list | tuple | set | frozenset):
        _find(list(value), found)


_SEQUENCES = frozenset({list, tuple, set, frozenset})


@freeze.register(Node)
def _(value: Node) -> Node:
    return value
