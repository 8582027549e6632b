"""Source of a ``models.py`` with mirrors of described models, which ``rpc_inspect`` prints."""

from __future__ import annotations

import decimal
import math
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from django_rpc.graph.schema import ModelSchema
from django_rpc.models.codegen.declaration import (
    Code,
    FieldCall,
    bases,
    class_names,
    composite_key,
    declared_fields,
    field_call,
    inherit_order,
    meta_options,
)

__all__ = ["models_source"]

WIDTH = 88
#: Names that the body of a class uses. A field of that name must follow other fields, by rank.
_SHADOWING = {**dict.fromkeys("Decimal datetime dict list timezone uuid".split(), 1), "models": 2}
_HEAD = '''"""Mirrors of the models that {using!r} exposes, written by ``manage.py rpc_inspect {using}``.

Keep the models and fields that you need, and add methods and ``__str__`` to them.
"""'''


def models_source(described: dict[str, ModelSchema], using: str = "rpc") -> str:
    """Return the source of a module with one mirror for each model: valid, importable in an installed app, formatted.

    >>> print(models_source({"shop.Tag": ModelSchema(model="shop.Tag")}).partition("class ")[2])
    Tag(RpcModel):
        # Operations: none.
    <BLANKLINE>
        class Rpc:
            app_label = "shop"
    <BLANKLINE>
    """
    writer = _ModuleWriter(described, using)
    classes = [writer.mirror(model) for model in inherit_order(described)]
    head = [_HEAD.format(using=using), "", *writer.import_lines()]
    return "\n".join([*head, *(f"\n\n{text}" for text in classes)]) + "\n"


class _ModuleWriter:
    def __init__(self, described: dict[str, ModelSchema], using: str) -> None:
        self.described = described
        self.using = using
        self.names = class_names(described)
        self.imports: set[str] = {"from django.db import models", "from django_rpc.models import RpcModel"}

    def import_lines(self) -> list[str]:
        """Return the import lines: the standard library, an empty line, then Django and this package."""
        groups: dict[int, list[str]] = {}
        for (module, word), names in _by_module(self.imports).items():
            line = f"from {module} import {', '.join(sorted(names))}" if word == "from" else f"import {module}"
            rank = 1 if module.startswith("django") else 0
            groups.setdefault(rank, []).append(line)
        order = [sorted(groups[rank], key=lambda line: (line.startswith("from"), line)) for rank in sorted(groups)]
        return "\n\n".join("\n".join(lines) for lines in order).split("\n")

    def mirror(self, model: ModelSchema) -> str:
        """Return the source of one class."""
        name = self.names[model.model]
        above = [self.names[label] for label in bases(model)] or ["RpcModel"]
        parts = [
            ["    class Rpc:", *(f"        {key} = {_text(value)}" for key, value in self._rpc(model, name).items())]
        ]
        meta = meta_options(model)
        if meta:
            parts.append(["    class Meta:", *(line for item in meta.items() for line in self._option(*item))])
        # A field is last if following lines use its name otherwise (a field "uuid", a default uuid.uuid4).
        ordered = sorted(declared_fields(model), key=lambda field: _SHADOWING.get(field.name, 0))
        calls = [*composite_key(model).items(), *(field_call(model, field, self._references()) for field in ordered)]
        fields = [line for field_name, call in calls for line in self._field(field_name, call)]
        if fields:
            parts.append(fields)
        remarks = self._remarks(model)
        if remarks:
            parts.insert(0, remarks)
        body = "\n\n".join("\n".join(part) for part in parts)
        return f"class {name}({', '.join(above)}):\n{body}"

    def _rpc(self, model: ModelSchema, name: str) -> dict[str, str]:
        app_label, _, own_name = model.model.partition(".")
        options = {"app_label": app_label}
        if own_name != name or bases(model):
            options["name"] = own_name
        if self.using != "rpc":
            options["database"] = self.using
        return options

    def _remarks(self, model: ModelSchema) -> list[str]:
        lines = []
        if model.computed:
            lines.append(f"Computed at the service: {', '.join(item.name for item in model.computed)}.")
        if model.methods:
            lines.append(f"Methods, by objects.call(name, ...): {', '.join(model.methods)}.")
        if set(model.operations) != {"read", "create", "update", "delete"}:
            lines.append(f"Operations: {', '.join(model.operations) or 'none'}.")
        if len(model.fields) > len(declared_fields(model)):
            lines.append("Not declared: a field of the name Rpc.")
        if model.composite_key and not composite_key(model):
            lines.append(f"The key is of {' and '.join(model.composite_key)}, which Django before 5.2 cannot declare.")
        return [line for text in lines for line in _comment(text, 4)]

    def _option(self, name: str, value: Any) -> Iterator[str]:
        self._import_for(value)
        yield from _assignment(name, value, 8)

    def _field(self, name: str, call: FieldCall) -> Iterator[str]:
        self._import_for(call)
        remark = f"  # {call.remark}" if call.remark else ""
        text = f"    {name} = {_text(call, 4, len(name) + 3 + len(remark))}{remark}"
        yield from text.split("\n")

    def _references(self) -> dict[str, str]:
        return {**self.names, "contenttypes.ContentType": "contenttypes.ContentType"}

    def _import_for(self, value: Any) -> None:
        """Add the imports that the source of ``value`` needs, at any depth."""
        if isinstance(value, FieldCall):
            if value.is_generic:
                self.imports.add(f"from django.contrib.contenttypes.fields import {value.name}")
            for item in (*value.args, *value.kwargs.values()):
                self._import_for(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self._import_for(item)
        elif isinstance(value, Code):
            if value.imports:
                self.imports.add(value.imports)
        else:
            module = type(value).__module__
            if module in ("datetime", "decimal", "uuid"):
                self.imports.add(f"import {module}" if module != "decimal" else "from decimal import Decimal")


def _assignment(name: str, value: Any, indent: int) -> Iterator[str]:
    line = f"{' ' * indent}{name} = {_text(value, indent, len(name) + 3)}"
    yield from line.split("\n")


def _text(value: Any, indent: int = 8, taken: int = 0) -> str:
    """Return ``value`` as source, on one line if it fits, otherwise with one line for each item.

    ``taken`` is the number of used characters on the line.
    """
    line = _literal(value)
    parts = _parts(value)
    if parts is None or indent + taken + _width(line) <= WIDTH:
        return line
    start, items, end = parts
    inner = [f"{' ' * (indent + 4)}{name}{_text(item, indent + 4, len(name) + 1)}," for name, item in items]
    return "\n".join([start, *inner, " " * indent + end])


def _width(line: str) -> int:
    """Return the number of columns on a terminal, which formatters count."""
    return len(line) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """Return the start of a call or a list, its named items, and its end; None for a value on one line."""
    if isinstance(value, FieldCall):
        items = [*(("", item) for item in value.args), *((f"{name}=", item) for name, item in value.kwargs.items())]
        return f"{'' if value.is_generic else 'models.'}{value.name}(", items, ")"
    if isinstance(value, list | tuple) and value:
        start, end = "[]" if isinstance(value, list) else "()"
        return start, [("", item) for item in value], end
    return None


def _literal(value: Any) -> str:
    """Return ``repr`` in the style of formatters: double quotes, unless single quotes avoid an escape."""
    if isinstance(value, str):
        return _quoted(str(value))
    if isinstance(value, decimal.Decimal):
        return f'Decimal("{value}")'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, FieldCall):
        start, items, end = _parts(value) or ("", [], "")
        return start + ", ".join(f"{name}{_literal(item)}" for name, item in items) + end
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def _quoted(value: str) -> str:
    """Return a literal of ``value`` in double quotes, or in single quotes if these need fewer backslashes.

    >>> print(_quoted("it's"), _quoted('"so"'))
    "it's" '"so"'
    """
    inner = repr(value + "'\"")[1:-4]  # since the text contains both quotes, repr uses single quotes and escapes them
    if value.count('"') > value.count("'"):
        return f"'{inner}'"
    return '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'


def _by_module(lines: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    modules: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        word, module, *rest = line.split()
        modules.setdefault((module, word), set()).update(rest[1:])
    return modules


def _comment(text: str, indent: int) -> Iterable[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent + "# ", subsequent_indent=" " * indent + "# ")
