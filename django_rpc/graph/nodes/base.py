"""The nodes of the expression graph: the operations that a client records before anything is sent.

A node is immutable and refers only to the nodes that it is made from. So an addition costs the same for a graph of any
size, and a graph cannot contain a cycle. The kinds are few and fixed, in two tables. The kinds in ``KINDS`` cross the
wire; the codec, the server's visitor and the policy each have one entry for each of them. The kinds in ``LOCAL_KINDS``
run in the client, and only `evaluate` has entries for them. Code that works on any node (its text, its hash, its place
in a plan) has one entry for each kind of both tables.

A node validates itself when it is built, so that a mistake is reported at the user's line.
"""

from __future__ import annotations

import enum
import functools
import itertools
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec.structs import force_setattr

from django_rpc.graph.values import ATOMS, Condition, Expr, freeze
from django_rpc.graph.vocabulary import names as vocabulary

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "LOCAL_FIELDS",
    "LOCAL_KINDS",
    "Attr",
    "Call",
    "Column",
    "DescribeModels",
    "Effect",
    "Insert",
    "Item",
    "Literal",
    "LocalCall",
    "Method",
    "ModelSource",
    "Node",
    "Opaque",
    "Operator",
    "RequestOutcome",
    "Rows",
    "Save",
    "ServiceInfo",
    "callsite",
    "is_own_module",
    "link_of",
    "nodes_in",
    "own_fields",
]


class Effect(enum.Enum):
    """The effect of a node's evaluation on the server's data.

    Equal reads may be merged. Writes are never merged, and keep the order in which they were built.
    """

    READ = "read"
    WRITE = "write"


#: Frames of these packages are never the user's line.
_OWN_PACKAGES = ("django_rpc.", "django.", "asgiref.")
_USER_PACKAGES = ("django_rpc.demo.",)


#: Cache of `is_own_module`, by module name.
_own_modules: dict[str, bool] = {}

#: One shared tuple for each source line, for all nodes that the line builds.
_sites: dict[tuple[str, int], tuple[str, int]] = {}


def is_own_module(module: str) -> bool:
    """Return True for a module of django_rpc, Django or asgiref; False for a module of the user."""
    is_own = _own_modules.get(module)
    if is_own is None:
        name = module + "."
        is_own = _own_modules[module] = name.startswith(_OWN_PACKAGES) and not name.startswith(_USER_PACKAGES)
    return is_own


def callsite(skip: int = 0) -> tuple[str, int]:
    """Return the file and line of the innermost frame outside of django_rpc, Django and asgiref.

    ``skip`` is the number of frames above the caller that are known to belong to django_rpc.
    """
    frame = sys._getframe(skip + 1)
    while True:
        module = frame.f_globals.get("__name__", "")
        is_own = _own_modules.get(module)
        if is_own is None:
            is_own = is_own_module(module)
        if not is_own or frame.f_back is None:
            break
        frame = frame.f_back
    site = (frame.f_code.co_filename, frame.f_lineno)
    return _sites.setdefault(site, site)


#: Counter of the nodes that this process has built.
_built = itertools.count(1)

#: Fields of a node that stay in the process that built it; they do not cross the wire.
LOCAL_FIELDS = frozenset({"where", "is_query", "is_local", "order", "digest", "below", "link", "mirror"})


class Node(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Base of the node kinds: one operation. The fields of a subclass cross the wire.

    ``where`` is the user's file and line. ``is_query`` is True if the server evaluates this node to a queryset, which
    SQL can nest. It is set once, from the inputs of the node, because a property that reads the parent would recurse as
    deep as the graph. ``is_local`` is set in the same way. It is True if the value is a Python object of the client, so
    that its methods are called in the client. ``order`` increases with each node that this process builds. Sorting by
    it puts inputs first and keeps the user's order of reads and writes. ``digest`` caches the hash of the content
    (``content.key``), and ``below`` caches the inputs. ``link`` is a function for the values of the nodes that are made
    from this query: it sets the instances of the client that the rows belong to (`link_of`).
    """

    effect: ClassVar[Effect] = Effect.READ

    where: tuple[str, int] | None = None
    is_query: bool = False
    is_local: bool = False
    order: int = msgspec.field(default_factory=_built.__next__)
    digest: bytes | None = None
    below: tuple[Node, ...] | None = None
    link: Callable[[Any], Any] | None = None

    def inputs(self) -> tuple[Node, ...]:
        """Return the nodes that this node is made from, in the order of its fields."""
        if self.below is not None:  # every phase of the planner needs the inputs
            return self.below
        nodes: list[Node] = []
        for name in own_fields(type(self)):
            value = getattr(self, name)
            kind = type(value)
            if kind in ATOMS or ((kind is tuple or kind is dict) and not value):  # most arguments
                continue
            _find(value, nodes)
        below = tuple(nodes)
        force_setattr(self, "below", below)
        return below

    def __repr__(self) -> str:
        from django_rpc.graph.format import describe  # imports all kinds

        return f"<{type(self).__name__} {describe(self)}>"

    def __copy__(self) -> Node:
        return self  # immutable, and a copy of a write would be a second write

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self

    @property
    def writes(self) -> bool:
        return self.effect is Effect.WRITE


def link_of(node: Any) -> Callable[[Any], Any] | None:
    """Return the ``link`` of the query that ``node`` is made from by methods, items, attributes and maps, or None."""
    while node is not None and node.link is None:
        node = getattr(node, "parent", None)
    return None if node is None else node.link


@functools.cache
def own_fields(kind: type[Node]) -> tuple[str, ...]:
    """Return the names of the fields that ``kind`` declares and that cross the wire, in their order."""
    return tuple(name for name in kind.__struct_fields__ if name not in LOCAL_FIELDS)


class ModelSource(Node, frozen=True, eq=False):
    """All rows of a server's model that this client may see.

    ``model`` is ``"app_label.ModelName"`` at the server, or ``"app_label.ModelName.field"`` for the automatic through
    model of a many-to-many field. ``service`` is the client's name for the server: its alias in DATABASES. It stays at
    the client, like ``mirror``, which is the client's class for the model and is not used by the graph. ``pinned``
    means that the user chose the service for this query. A pinned query does not move to another service with an outer
    query (`moved`). ``base`` means the rows of the model's base manager, which Django uses for related rows, instead of
    the default manager.
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
    """A call of a method of the closed vocabulary (``vocabulary.METHODS``) on the value of ``parent``."""

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
    """A call of a method that the server registered by name (``ModelRpc.methods``); it may write."""

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
    """A Python operator on one or two values, by its name in the module ``operator``."""

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
    """The distinct values, without None, of one column of a ``Rows`` node; a prefetch filters by them."""

    parent: Rows
    name: str

    def __post_init__(self) -> None:
        vocabulary.check_path(self.name)


class Save(Node, frozen=True, eq=False):
    """``instance.save()`` at the server; the value is a dict of the fields that the save changed.

    ``values`` maps attribute names (``customer_id`` for a foreign key) to prepared values. ``adding`` is the instance's
    ``_state.adding``. The other options are the options of ``Model.save``; ``force_insert`` contains models as labels.
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


class DescribeModels(Node, frozen=True, eq=False):
    """The models that the service exposes to this client: ``models`` and the models that they lead to, or all models.

    The value is plain data: `schema.as_data`. Models that this client may not see are left out.
    """

    service: str
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in self.models:
            vocabulary.check_model(label)


class RequestOutcome(Node, frozen=True, eq=False):
    """The outcome of an earlier request of this client, by its id.

    With ``settle``, a request that has not run will not run later. The value is a dict. ``state`` is "done", "refused",
    "withdrawn", "partly" or "unknown". If the service has a trace of the request, ``at`` is its time, and ``answer`` is
    the text of the response.
    """

    service: str
    request: str
    settle: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_request_id(self.request)


class ServiceInfo(Node, frozen=True, eq=False):
    """The service itself: its versions, its clock, and its name for this client.

    The value is a dict: ``versions`` as in `wire.versions`, ``service`` and ``client`` by the service's settings,
    ``functions`` that this client may call. ``at`` is the service's time (seconds since the epoch) after ``seconds`` of
    work on the request.
    """

    service: str


class Opaque(Node, frozen=True, eq=False):
    """A Python object of the client that is not plain data; its containers may hold nodes.

    ``label`` is the key given by the user. Without a label, the key of a ``pure`` object is the key of its content, and
    an impure object has a unique key. ``nout`` is its length, if the user declared it.
    """

    value: Any
    label: str | None = None
    pure: bool = False
    nout: int | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)


class LocalCall(Node, frozen=True, eq=False):
    """A call of a Python function in the client: ``function(*args, **kwargs)``.

    ``function`` may be a node. The other fields have the same meaning as in `Opaque`. ``pure`` declares that equal
    arguments have equal results, so equal pure calls run once.
    """

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    label: str | None = None
    pure: bool = False
    nout: int | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)


#: Every kind that crosses the wire, by its name there. Codec, server visitor and policy are checked against this table.
KINDS: dict[str, type[Node]] = {
    "source": ModelSource,
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
    "schema": DescribeModels,
    "outcome": RequestOutcome,
    "about": ServiceInfo,
}

#: The kinds that never cross the wire, because they run in the client.
LOCAL_KINDS: dict[str, type[Node]] = {
    "held": Opaque,
    "apply": LocalCall,
}

#: Both tables, including the kinds that other modules of this package add.
ALL_KINDS: Mapping[str, type[Node]] = ChainMap(KINDS, LOCAL_KINDS)


def nodes_in(value: Any) -> Iterator[Node]:
    """Return the nodes inside an argument value, at any depth of containers, conditions and expressions."""
    nodes: list[Node] = []
    _find(value, nodes)
    return iter(nodes)


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
