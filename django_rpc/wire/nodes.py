"""The wire form of each kind of node: an array that starts with the tag of the kind.

The form derives from the declaration of the kind (`django_rpc.graph.nodes`): from the types and the roles of its
fields. A field without a role is an item of the array, in the order of the declaration.

    Node               the index of an earlier node
    tuple[Any, ...]    an array of values
    dict[str, Any]     an object of values
    Any                a value
    bytes              base64, which is not interpreted here
    other types        as they are; the parser checks the type

`WRITERS` makes the array. The parser validates it with a struct for each kind, and `READERS` makes the node.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

import msgspec

from django_rpc.errors import BadValue
from django_rpc.graph.nodes import KINDS, Node, WireRole, own_fields
from django_rpc.wire.rows import pack_rows
from django_rpc.wire.tags import Unpacker, read_cells
from django_rpc.wire.values import Packer

__all__ = ["READERS", "WRITERS", "AnyForm"]

#: The service is known by its own name for itself. The client's name for it does not cross the wire.
_HERE = ""


class _Form(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """Base of the forms: arrays of exactly these fields."""


class _NodeOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of the objects at the end of an array."""


class _Field(NamedTuple):
    """A field of a node: the type that the parser checks, and the expressions that convert its value ``{0}``."""

    name: str
    role: WireRole | None
    default: Any
    type: Any
    write: str
    read: str


#: The conversions of the types that are not sent as they are: the type that the parser checks, and the expressions.
_CONVERSIONS: dict[Any, tuple[Any, str, str]] = {
    tuple[Any, ...]: (list[Any], "pack.sequence({0}) if {0} else ()", "tuple([unpack(value) for value in {0}])"),
    dict[str, Any]: (dict[str, Any], "pack.mapping({0}) if {0} else {0}", "unpack.mapping({0})"),
    Any: (Any, "pack({0})", "unpack({0})"),
    bytes: (bytes, "{0}", "unpack.count_code({0})"),
}


def _fields(kind: type[Node]) -> list[_Field]:
    """Return the fields of ``kind`` that cross the wire, in the order of the array."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = {info.name: info.default for info in msgspec.structs.fields(kind)}
    fields = []
    for name in kind.wire_order or own_fields(kind):
        hint = hints[name]
        role = next((mark for mark in get_args(hint) if isinstance(mark, WireRole)), None)
        if role is WireRole.LOCAL:
            continue
        if role is not None:
            hint = get_args(hint)[0]
        conversion: tuple[Any, str, str] = _CONVERSIONS.get(hint, (hint, "{0}", "{0}"))
        if isinstance(hint, type) and issubclass(hint, Node):
            conversion = int, "pack.reference({0})", "unpack.node({0})"
        fields.append(_Field(name, role, defaults[name], *conversion))
    return fields


class _Codec:
    """Converts the nodes of one kind to arrays and back.

    The two functions are compiled for the kind, as the functions of a dataclass are: a loop over the fields took more
    than a third longer for each message.
    """

    def __init__(self, kind: type[Node]) -> None:
        fields = _fields(kind)
        items = [field for field in fields if field.role is None]
        self.table = [field.name for field in fields if field.role is WireRole.TABLE]
        trailing = [field for field in fields if field.role is WireRole.TRAILING]
        options = [field for field in fields if field.role is WireRole.OPTION]
        self.option_names = [field.name for field in options]
        self.options: Any = msgspec.defstruct(
            f"{kind.__name__}Options",
            [(field.name, field.type, field.default) for field in options],
            bases=(_NodeOptions,),
            frozen=True,
        )
        columns: list[Any] = [(field.name, field.type) for field in items]
        for name in self.table:
            columns += [("types", tuple[str, ...]), (name, list[list[Any]])]
        columns += [(field.name, field.type, field.default) for field in trailing]
        columns += [("options", self.options)] if options else []
        self.kind = kind
        self.form = msgspec.defstruct(
            f"{kind.__name__}Form", columns, bases=(_Form,), tag=kind.tag, frozen=True, gc=False
        )
        written = [repr(kind.tag), *[field.write.format(f"node.{field.name}") for field in items]]
        read = [f"{field.name}={field.read.format(f'form.{field.name}')}" for field in items]
        if "service" in own_fields(kind):
            read.append(f"service={_HERE!r}")
        for field in trailing:
            written.append(f"*(() if node.{field.name} == {field.default!r} else (node.{field.name},))")
            read.append(f"{field.name}=form.{field.name}")
        if self.table or options:
            written.append("*rest(pack, node)")
            read.append("**read_rest(unpack, form)")
        check = "node.check_received()" if kind.check_received is not Node.check_received else "pass"
        source = (
            f"def write(pack, node):\n    return ({', '.join(written)},)\n"
            f"def read(unpack, form):\n    node = kind({', '.join(read)})\n    {check}\n    return node\n"
        )
        functions: dict[str, Any] = {"kind": kind, "rest": self._rest, "read_rest": self._read_rest}
        exec(compile(source, f"<wire form of {kind.__name__}>", "exec"), functions)
        self.write: Callable[[Packer, Any], Any] = functions["write"]
        self.read: Callable[[Unpacker, Any], Node] = functions["read"]

    def _rest(self, pack: Packer, node: Any) -> list[Any]:
        """Return the items of a table and of options."""
        rest: list[Any] = []
        for name in self.table:
            tags = pack.naive_zone is not None
            rest += pack_rows(getattr(node, name), len(node.fields), pack, tags_datetimes=tags)
        if self.option_names:
            rest.append(self.options(*[getattr(node, name) for name in self.option_names]))
        return rest

    def _read_rest(self, unpack: Unpacker, form: Any) -> dict[str, Any]:
        """Return the fields of a table and of options."""
        values: dict[str, Any] = {}
        for name in self.table:
            if len(form.types) != len(form.fields):
                raise BadValue("Rows have one type for each of their fields.")
            values[name] = tuple(read_cells(unpack, form.types, getattr(form, name)))
        values |= {name: getattr(form.options, name) for name in self.option_names}
        return values


_CODECS = [_Codec(kind) for kind in KINDS.values()]

#: Converts each kind of node to its array.
WRITERS: Mapping[type[Node], Callable[[Packer, Any], Any]] = {codec.kind: codec.write for codec in _CODECS}
#: Converts each form to its node.
READERS: Mapping[type, Callable[[Unpacker, Any], Node]] = {codec.form: codec.read for codec in _CODECS}

if TYPE_CHECKING:
    AnyForm = Any
else:
    AnyForm = functools.reduce(operator.or_, READERS)
