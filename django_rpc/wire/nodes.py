"""The wire form of each kind of node: an array that starts with the kind's name.

`WRITERS` makes the array. The parser validates it with the structs below, and `READERS` makes the node. The import of
this module fails if a kind of ``graph.node.KINDS`` lacks one of the three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from django_rpc.graph.nodes.base import (
    KINDS,
    Attr,
    Call,
    Column,
    DescribeModels,
    Insert,
    Item,
    Literal,
    Method,
    ModelSource,
    Node,
    Operator,
    RequestOutcome,
    Rows,
    Save,
    ServiceInfo,
)
from django_rpc.graph.nodes.collections import Element, Filter, IfElse, Map, Reduce
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.nodes.remote_function import Function
from django_rpc.graph.vocabulary.names import check_identifier, check_path
from django_rpc.graph.vocabulary.signatures import check_method_arguments
from django_rpc.wire.errors import BadValue
from django_rpc.wire.rows import pack_rows
from django_rpc.wire.tags import Unpacker, read_cells
from django_rpc.wire.values import Packer

__all__ = ["READERS", "WRITERS", "AnyForm"]

#: The name of the service is used only in the client; it does not cross the wire.
_HERE = ""
_ON_CONFLICT = (None, "ignore", "update")


class _Form(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """Base of the forms: arrays of exactly these fields."""


class SourceForm(_Form, frozen=True, tag="source"):
    model: str
    base: bool = False


class MethodForm(_Form, frozen=True, tag="method"):
    parent: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


class CallForm(_Form, frozen=True, tag="call"):
    parent: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


class AttrForm(_Form, frozen=True, tag="attr"):
    parent: int
    name: str


class ItemForm(_Form, frozen=True, tag="item"):
    parent: int
    key: Any


class OperatorForm(_Form, frozen=True, tag="operator"):
    name: str
    args: list[Any]


class LiteralForm(_Form, frozen=True, tag="literal"):
    value: Any


class RowsForm(_Form, frozen=True, tag="rows"):
    parent: int
    columns: tuple[str, ...]


class ColumnForm(_Form, frozen=True, tag="column"):
    parent: int
    name: str


class SaveOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    force_insert: bool | tuple[str, ...] = False
    force_update: bool = False
    update_fields: tuple[str, ...] | None = None
    raw: bool = False


class SaveForm(_Form, frozen=True, tag="save"):
    model: str
    values: dict[str, Any]
    adding: bool
    options: SaveOptions


class InsertOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    returning: tuple[str, ...] = ()
    on_conflict: str | None = None
    update_fields: tuple[str, ...] = ()
    unique_fields: tuple[str, ...] = ()


class InsertForm(_Form, frozen=True, tag="insert"):
    model: str
    fields: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]
    options: InsertOptions


class ParamForm(_Form, frozen=True, tag="param"):
    depth: int


class MapForm(_Form, frozen=True, tag="map"):
    parent: int
    param: int
    body: int
    errors: bool


class WhereForm(_Form, frozen=True, tag="where"):
    parent: int
    param: int
    body: int


class FoldForm(_Form, frozen=True, tag="fold"):
    name: str
    parent: int


class CondForm(_Form, frozen=True, tag="cond"):
    test: int
    then: int
    otherwise: int


class SchemaForm(_Form, frozen=True, tag="schema"):
    models: tuple[str, ...]


class FunctionForm(_Form, frozen=True, tag="function"):
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    reads_only: bool


class ShippedForm(_Form, frozen=True, tag="shipped"):
    name: str
    python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,3}$")]
    code: bytes  # in base64; not interpreted here
    args: list[Any]
    kwargs: dict[str, Any]
    reads_only: bool


class OutcomeForm(_Form, frozen=True, tag="outcome"):
    request: str
    settle: bool


class AboutForm(_Form, frozen=True, tag="about"):
    """A form without fields."""


AnyForm = (
    SourceForm
    | MethodForm
    | CallForm
    | AttrForm
    | ItemForm
    | OperatorForm
    | LiteralForm
    | RowsForm
    | ColumnForm
    | SaveForm
    | InsertForm
    | ParamForm
    | MapForm
    | WhereForm
    | FoldForm
    | CondForm
    | SchemaForm
    | FunctionForm
    | ShippedForm
    | OutcomeForm
    | AboutForm
)


def _write_save(pack: Packer, node: Save) -> Any:
    options = SaveOptions(node.force_insert, node.force_update, node.update_fields, node.raw)
    return "save", node.model, pack.mapping(node.values), node.adding, options


def _write_insert(pack: Packer, node: Insert) -> Any:
    types, rows = pack_rows(node.rows, len(node.fields), pack, tags_datetimes=pack.naive_zone is not None)
    options = InsertOptions(node.returning, node.on_conflict, node.update_fields, node.unique_fields)
    return "insert", node.model, node.fields, types, rows, options


#: Converts each kind of node to its array.
WRITERS: dict[type[Node], Callable[[Packer, Any], Any]] = {
    ModelSource: lambda pack, n: ("source", n.model, True) if n.base else ("source", n.model),
    Method: lambda pack, n: (
        "method",
        pack.reference(n.parent),
        n.name,
        pack.sequence(n.args) if n.args else (),
        pack.mapping(n.kwargs) if n.kwargs else n.kwargs,
    ),
    Call: lambda pack, n: ("call", pack.reference(n.parent), n.name, pack.sequence(n.args), pack.mapping(n.kwargs)),
    Attr: lambda pack, n: ("attr", pack.reference(n.parent), n.name),
    Item: lambda pack, n: ("item", pack.reference(n.parent), pack(n.key)),
    Operator: lambda pack, n: ("operator", n.name, pack.sequence(n.args)),
    Literal: lambda pack, n: ("literal", pack(n.value)),
    Rows: lambda pack, n: ("rows", pack.reference(n.parent), n.columns),
    Column: lambda pack, n: ("column", pack.reference(n.parent), n.name),
    Save: _write_save,
    Insert: _write_insert,
    Element: lambda pack, n: ("param", n.depth),
    Map: lambda pack, n: ("map", *map(pack.reference, (n.parent, n.param, n.body)), n.errors),
    Filter: lambda pack, n: ("where", *map(pack.reference, (n.parent, n.param, n.body))),
    Reduce: lambda pack, n: ("fold", n.name, pack.reference(n.parent)),
    IfElse: lambda pack, n: ("cond", *map(pack.reference, (n.test, n.then, n.otherwise))),
    DescribeModels: lambda pack, n: ("schema", n.models),
    Function: lambda pack, n: ("function", n.name, pack.sequence(n.args), pack.mapping(n.kwargs), n.reads_only),
    Shipped: lambda pack, n: (
        *("shipped", n.name, n.python, n.code),
        *(pack.sequence(n.args), pack.mapping(n.kwargs), n.reads_only),
    ),
    RequestOutcome: lambda pack, n: ("outcome", n.request, n.settle),
    ServiceInfo: lambda pack, n: ("about",),
}


def _read_method(unpack: Unpacker, form: MethodForm) -> Method:
    args, kwargs = tuple([unpack(value) for value in form.args]), unpack.mapping(form.kwargs)
    node = Method(parent=unpack.node(form.parent), name=form.name, args=args, kwargs=kwargs)
    if args or kwargs:
        check_method_arguments(form.name, args, kwargs)
    return node


def _read_call(unpack: Unpacker, form: CallForm) -> Call:
    for keyword in form.kwargs:
        check_path(keyword)  # a registered method may take lookups
    args, kwargs = tuple([unpack(value) for value in form.args]), unpack.mapping(form.kwargs)
    return Call(parent=unpack.node(form.parent), name=form.name, args=args, kwargs=kwargs)


def _read_function(unpack: Unpacker, form: FunctionForm) -> Function:
    return Function(**_read_call_of_function(unpack, form))


def _read_shipped(unpack: Unpacker, form: ShippedForm) -> Shipped:
    unpack.count_code(len(form.code))
    return Shipped(**_read_call_of_function(unpack, form), python=form.python, code=form.code)


def _read_call_of_function(unpack: Unpacker, form: FunctionForm | ShippedForm) -> dict[str, Any]:
    for keyword in form.kwargs:
        check_path(keyword)
    args, kwargs = tuple([unpack(value) for value in form.args]), unpack.mapping(form.kwargs)
    return {"service": _HERE, "name": form.name, "args": args, "kwargs": kwargs, "reads_only": form.reads_only}


def _read_column(unpack: Unpacker, form: ColumnForm) -> Column:
    parent = unpack.node(form.parent)
    if not isinstance(parent, Rows):
        raise BadValue("A column is taken from rows.")
    if form.name not in parent.columns:
        raise BadValue(f"{form.name!r} is not one of the columns of the rows that it is taken from.")
    return Column(parent=parent, name=form.name)


def _read_save(unpack: Unpacker, form: SaveForm) -> Save:
    options = form.options
    for name in options.update_fields or ():
        check_identifier(name)
    return Save(
        model=form.model,
        service=_HERE,
        values=unpack.mapping(form.values),
        adding=form.adding,
        force_insert=options.force_insert,
        force_update=options.force_update,
        update_fields=options.update_fields,
        raw=options.raw,
    )


def _read_insert(unpack: Unpacker, form: InsertForm) -> Insert:
    options = form.options
    if options.on_conflict not in _ON_CONFLICT:
        raise BadValue(f"{options.on_conflict!r} is not a value of on_conflict: use ignore, update or null.")
    if len(form.types) != len(form.fields):
        raise BadValue("Rows have one type for each of their fields.")
    return Insert(
        model=form.model,
        service=_HERE,
        fields=form.fields,
        rows=tuple(read_cells(unpack, form.types, form.rows)),
        returning=options.returning,
        on_conflict=options.on_conflict,
        update_fields=options.update_fields,
        unique_fields=options.unique_fields,
    )


def _read_map(unpack: Unpacker, form: MapForm) -> Map:
    parent, param, body = map(unpack.node, (form.parent, form.param, form.body))
    return Map(parent=parent, param=param, body=body, errors=form.errors)


def _read_where(unpack: Unpacker, form: WhereForm) -> Filter:
    parent, param, body = map(unpack.node, (form.parent, form.param, form.body))
    return Filter(parent=parent, param=param, body=body)


def _read_cond(unpack: Unpacker, form: CondForm) -> IfElse:
    test, then, otherwise = map(unpack.node, (form.test, form.then, form.otherwise))
    return IfElse(test=test, then=then, otherwise=otherwise)


#: Converts each form to its node.
READERS: dict[type, Callable[[Unpacker, Any], Node]] = {
    SourceForm: lambda unpack, form: ModelSource(model=form.model, service=_HERE, base=form.base),
    MethodForm: _read_method,
    CallForm: _read_call,
    AttrForm: lambda unpack, form: Attr(parent=unpack.node(form.parent), name=form.name),
    ItemForm: lambda unpack, form: Item(parent=unpack.node(form.parent), key=unpack(form.key)),
    OperatorForm: lambda unpack, form: Operator(name=form.name, args=tuple([unpack(value) for value in form.args])),
    LiteralForm: lambda unpack, form: Literal(value=unpack(form.value)),
    RowsForm: lambda unpack, form: Rows(parent=unpack.node(form.parent), columns=form.columns),
    ColumnForm: _read_column,
    SaveForm: _read_save,
    InsertForm: _read_insert,
    ParamForm: lambda unpack, form: Element(depth=form.depth),
    MapForm: _read_map,
    WhereForm: _read_where,
    FoldForm: lambda unpack, form: Reduce(name=form.name, parent=unpack.node(form.parent)),
    CondForm: _read_cond,
    FunctionForm: _read_function,
    ShippedForm: _read_shipped,
    SchemaForm: lambda unpack, form: DescribeModels(service=_HERE, models=form.models),
    OutcomeForm: lambda unpack, form: RequestOutcome(service=_HERE, request=form.request, settle=form.settle),
    AboutForm: lambda unpack, form: ServiceInfo(service=_HERE),
}

_FORM_KINDS = {form.__struct_config__.tag for form in _Form.__subclasses__()}
if set(KINDS.values()) != set(WRITERS) or set(KINDS) != _FORM_KINDS or set(READERS) != set(_Form.__subclasses__()):
    raise ImportError("A kind of node in graph.node.KINDS has no form on the wire: complete django_rpc/wire/nodes.py.")
