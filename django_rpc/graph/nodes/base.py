"""The base class of the node kinds, and the registry of the kinds.

A node is an operation that a client records before anything is sent. A node is immutable and refers only to the nodes
that it is made from. So an addition costs the same for a graph of any size, and a graph cannot contain a cycle. A node
validates itself when it is built, so that a mistake is reported at the user's line.

The class of a kind is its only declaration. It has the fields, and as class attributes and methods: the ``tag``, the
``effect``, the ``place``, the ``operation``, the ``text`` and, for a kind that can run in the client, ``compute``. The
wire form, the text, the placement and the telemetry derive from the class. A class that lacks one of them fails at its
import. The only function of a kind outside of its class is its evaluator at the service
(``django_rpc.server.visitors``).

>>> sorted(KINDS)[:4], sorted(LOCAL_KINDS)
(['about', 'attr', 'call', 'column'], ['apply', 'held'])
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec.structs import force_setattr

from django_rpc.graph.values import ATOMS, freeze
from django_rpc.graph.walk import objects_in

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer
    from django_rpc.graph.local_evaluation import Values

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "LOCAL_FIELDS",
    "LOCAL_KINDS",
    "Effect",
    "Node",
    "Place",
    "Service",
    "ServiceNode",
    "WireRole",
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


class Place(enum.Enum):
    """The rule for the places where a node can run."""

    #: At the service that the node names in its field ``service``.
    SERVICE = "service"
    #: Where its parent runs.
    PARENT = "parent"
    #: Where one of its inputs runs; anywhere if it has no inputs.
    INPUTS = "inputs"
    #: Only in the client. The kind has no wire form.
    CLIENT = "client"


class WireRole(enum.Enum):
    """The role of a field in the array of its node on the wire. A field without a role is an item of the array."""

    #: The field stays in the client.
    LOCAL = "local"
    #: The last item of the array, which is left out if it has its default.
    TRAILING = "trailing"
    #: A key of the object at the end of the array, which is left out if it has its default.
    OPTION = "option"
    #: Rows under the header ``fields``: an item for the types of the columns, and an item for the values.
    TABLE = "table"


#: The client's name for a service: its alias in DATABASES.
Service = Annotated[str, WireRole.LOCAL]

#: Counter of the nodes that this process has built.
_built = itertools.count(1)

#: Fields of a node that stay in the process that built it. They are no part of its content.
LOCAL_FIELDS = frozenset({"where", "is_query", "is_local", "order", "digest", "below", "link", "mirror", "runner"})

#: Each kind that crosses the wire, by its tag.
KINDS: dict[str, type[Node]] = {}
#: Each kind that runs only in the client, by its tag.
LOCAL_KINDS: dict[str, type[Node]] = {}
#: Both tables.
ALL_KINDS: Mapping[str, type[Node]] = ChainMap(KINDS, LOCAL_KINDS)

_REQUIRED = ("tag", "place", "operation", "text")


class Node(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Base of the node kinds: one operation. The fields of a subclass are its content.

    ``where`` is the user's file and line. ``is_query`` is True if the server evaluates this node to a queryset, which
    SQL can nest. It is set once, from the inputs of the node, because a property that reads the parent would recurse as
    deep as the graph. ``is_local`` is set in the same way. It is True if the value is a Python object of the client, so
    that its methods are called in the client. ``order`` increases with each node that this process builds. Sorting by
    it puts inputs first and keeps the user's order of reads and writes. ``digest`` caches the hash of the content
    (``identity.key``), and ``below`` caches the inputs. ``link`` is a function for the values of the nodes that are
    made from this query: it sets the instances of the client that the rows belong to (`link_of`).
    """

    #: Name of the kind on the wire, in hashes and in pickles. The base class of several kinds has no tag.
    tag: ClassVar[str]
    effect: ClassVar[Effect] = Effect.READ
    place: ClassVar[Place]
    #: Telemetry verb, such as "read" or "create".
    operation: ClassVar[str]
    is_abstract: ClassVar[bool] = True
    #: The fields in their order on the wire, if it differs from the order of their declarations.
    wire_order: ClassVar[tuple[str, ...]] = ()
    #: True for the placeholder of a lambda's argument.
    is_element: ClassVar[bool] = False
    #: True for a kind with a lambda (``body``) that has a value for each element of ``parent``.
    binds_element: ClassVar[bool] = False
    #: True for a kind that evaluates only some of its inputs.
    is_conditional: ClassVar[bool] = False
    #: True for the rows of a model, the start of a chain.
    is_source: ClassVar[bool] = False
    #: True for a call of code of the service, whose reads and writes are not known.
    runs_service_code: ClassVar[bool] = False
    #: Name of the method of Django that the node calls; empty for other kinds.
    method_name: ClassVar[str] = ""

    where: tuple[str, int] | None = None
    is_query: bool = False
    is_local: bool = False
    order: int = msgspec.field(default_factory=_built.__next__)
    digest: bytes | None = None
    below: tuple[Node, ...] | None = None
    link: Callable[[Any], Any] | None = None

    def __init_subclass__(cls) -> None:
        """Register the kind; raises TypeError for a declaration that lacks a part."""
        if cls.__dict__.get("is_abstract", False):
            return
        cls.is_abstract = False
        missing = [name for name in _REQUIRED if getattr(cls, name, None) is getattr(Node, name, None)]
        if missing or "tag" not in cls.__dict__:
            raise TypeError(f"The node kind {cls.__name__} declares no {', '.join(missing) or 'tag'}.")
        if cls.tag in ALL_KINDS:
            raise TypeError(f"The node kinds {cls.__name__} and {ALL_KINDS[cls.tag].__name__} have the same tag.")
        (LOCAL_KINDS if cls.place is Place.CLIENT else KINDS)[cls.tag] = cls

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
            if isinstance(value, Node):
                nodes.append(value)
            else:
                nodes += nodes_in(value)
        below = tuple(nodes)
        force_setattr(self, "below", below)
        return below

    def certain_inputs(self) -> tuple[Node, ...]:
        """Return the inputs that every evaluation of the node needs."""
        return self.inputs()

    def text(self, write: Writer) -> str:
        """Return the text of this step, as the user wrote it. ``write`` formats the arguments."""
        raise NotImplementedError

    def compute(self, values: Values) -> Any:
        """Compute the value in the client, from the values of the inputs."""
        raise TypeError(f"{self._description()} runs at a service, and never in the client.")

    def check_received(self) -> None:
        """Check the arguments of a node from a client that may be of another program. Raises ValueError."""

    @property
    def writes(self) -> bool:
        return self.effect is Effect.WRITE

    @property
    def is_unique(self) -> bool:
        """Return True if two evaluations of the node may differ from one evaluation."""
        return self.writes

    @property
    def step_name(self) -> str:
        """Return the name of the step in logs, spans and metrics. It contains no value."""
        return self.tag

    @property
    def key_name(self) -> str:
        """Return the name of the step in the key of a Delayed."""
        return getattr(self, "name", None) or self.tag

    def _description(self) -> str:
        from django_rpc.graph.format import describe  # needs this module

        return describe(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._description()}>"

    def __copy__(self) -> Node:
        return self  # immutable, and a copy of a write would be a second write

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self

    def __reduce__(self) -> tuple[Callable[..., Node], tuple[Any, ...]]:
        from django_rpc.graph.identity import reduce_node  # needs this module

        return reduce_node(self)


class ServiceNode(Node, frozen=True, eq=False):
    """Base of the kinds that name their service."""

    is_abstract = True
    place = Place.SERVICE


def link_of(node: Any) -> Callable[[Any], Any] | None:
    """Return the ``link`` of the query that ``node`` is made from by methods, items, attributes and maps, or None."""
    while node is not None and node.link is None:
        node = getattr(node, "parent", None)
    return None if node is None else node.link


@functools.cache
def own_fields(kind: type[Node]) -> tuple[str, ...]:
    """Return the names of the fields that ``kind`` declares and that are its content, in their order."""
    return tuple(name for name in kind.__struct_fields__ if name not in LOCAL_FIELDS)


def nodes_in(value: Any) -> list[Node]:
    """Return the nodes inside an argument value, at any depth of containers, conditions and expressions."""
    return [leaf for leaf in objects_in(value) if isinstance(leaf, Node)]


@freeze.register(Node)
def _(value: Node) -> Node:
    return value
