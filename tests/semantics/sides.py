"""Runs the text of a program on local models or through mirrors, and makes results of both comparable."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import functools
import secrets
import zoneinfo
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

import django.db.models as dm
from django.db import connections, transaction
from django.db.models import Model, functions
from django.db.models.fields.json import KT
from django.db.models.manager import BaseManager
from django.utils import timezone

import django_rpc
from django_rpc.graph.delayed.delayed import Delayed
from tests.semantics.known import Failure
from tests.semantics.shapes import MODELS, WRITTEN

__all__ = ["LOCAL", "WAYS", "plain", "run", "tables"]

#: How a program of reads is evaluated through mirrors.
WAYS = ("query", "delayed", "gather", "future")
LOCAL = "local"
#: A field of the service that mirrors do not have, and fields of mirrors that the service computes.
HIDDEN = {"secret_note", "display_name", "order_count", "is_large"}
#: The names of Django that a program can use.
DJANGO = {name: getattr(module, name) for module in (functions, dm) for name in module.__all__} | {"KT": KT}


def namespace(models: Any, way: str, alias: str) -> dict[str, Any]:
    """Return the names that a program can use."""
    names = DJANGO | {
        "M": models, "Decimal": Decimal, "date": dt.date, "datetime": dt.datetime, "time": dt.time, "UTC": dt.UTC,
        "ZoneInfo": zoneinfo.ZoneInfo, "change": change, "result": lambda done, row: (done, row),
        "bulk_update": bulk_update, "clone": copy.copy,
    }  # fmt: skip
    if way in (LOCAL, "query"):
        names |= {
            "query": lambda model: model.objects.all(), "rows": _listed, "value": lambda value: value,
            "iterate": lambda rows, size: list(rows.iterator(chunk_size=size)),
            "mapping": lambda rows, function: [_listed(function(row)) for row in _listed(rows)],
            "where": lambda rows, function: [row for row in _listed(rows) if function(row)],
            "fold": fold, "cond": lambda test, then, otherwise: then() if test else otherwise(),
        }  # fmt: skip
    else:
        names |= {
            "query": lambda model: model.objects.delayed(),
            **dict.fromkeys(("rows", "value"), lambda delayed: evaluated(delayed, way, alias)),
            "iterate": lambda delayed, size: evaluated(delayed, way, alias),
            "mapping": lambda rows, function: rows.map(function),
            "where": lambda rows, function: rows.filter_by(function),
            "fold": lambda name, values: getattr(values, name)(),
            "cond": lambda test, then, otherwise: django_rpc.cond(test, then(), otherwise()),
        }  # fmt: skip
    return names


def evaluated(delayed: Any, way: str, alias: str) -> Any:
    """Return the value of a Delayed in a way to get it."""
    if not isinstance(delayed, Delayed):
        return delayed
    if way == "gather":
        return connections[alias].cursor().gather(delayed)[0]
    return delayed.submit().result() if way == "future" else delayed.compute()


def _listed(value: Any) -> Any:
    if isinstance(value, BaseManager):
        value = value.all()
    return list(value) if isinstance(value, dm.QuerySet) else value


def fold(name: str, values: list[Any]) -> Any:
    """Return the fold of a list; minimum and maximum of an empty list are None, as in docs/protocol.md."""
    if name in ("min", "max"):
        return {"min": min, "max": max}[name](values, default=None)
    return {"sum": sum, "len": len, "any": any, "all": all}[name](values)


def change(row: Any, name: str, value: Any) -> None:
    setattr(row, name, value)


def bulk_update(rows: Any, name: str, value: Callable[[Any], Any]) -> Any:
    kept = list(rows)
    for row in kept:
        setattr(row, name, value(row))
    return rows.model.objects.bulk_update(kept, [name])


def run(
    lines: list[str], models: Any, way: str, *, alias: str, database: str = "default", commits: bool = False
) -> list[Any]:
    """Run a program and return the results of its ``note()`` calls; ``commits``: each call is a transaction.

    Otherwise one transaction is around all of them.  The check of foreign keys, which is at its end, is then left out.
    """
    noted: list[Any] = []

    def note(function: Callable[[], Any]) -> Any:
        try:
            with transaction.atomic(using=database):
                value = function()
                result = plain(value)
        except Exception as error:  # noqa: BLE001 - the error is the result
            noted.append(Failure.of(error))
            return None
        noted.append(result)
        return value

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        with transaction.atomic(using=database) if way == LOCAL else django_rpc.atomic(alias):
            yield

    names = namespace(models, way, alias) | {"note": note, "block": block}
    try:
        around = contextlib.nullcontext() if commits else transaction.atomic(using=database)
        with around, mock.patch.object(secrets, "token_hex", _token):
            exec("\n".join(lines), names)
    except Exception as error:  # noqa: BLE001 - a block that failed
        noted.append(Failure.of(error, "failed" if lines[0].startswith("with") else None))
    return noted


_CHANCE = secrets.token_hex


def _token(size: int | None = None) -> str:
    """Return what the service adds to numbers of orders, without chance; ids of messages stay random."""
    return "0" * 8 if size == 4 else _CHANCE(size)


def plain(value: Any) -> Any:
    """Return a value that can be compared by its text."""
    if isinstance(value, Model):
        return _row(value)
    if isinstance(value, BaseManager):
        value = value.all()
    if isinstance(value, dm.QuerySet | list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        items = tuple(plain(item) for item in value)
        return ("named", fields, items) if fields else items
    if isinstance(value, dict):
        return {_label(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Exception):
        return Failure.of(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None and not value.utcoffset():
        return value.replace(tzinfo=dt.UTC)
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, str):
        return str.__str__(value.value if isinstance(value, dm.Choices) else value)
    if hasattr(value, "resolve_expression"):
        return "an expression"
    return value


def _label(key: Any) -> Any:
    """Return a key of a dict; labels of models are those of the service."""
    return key.replace("_client.", ".") if isinstance(key, str) else key


def _row(row: Any) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"pk": plain(_converted(row._meta.pk, row.pk))}
    fields = {field.attname: field for field in row._meta.concrete_fields}
    for name, value in sorted(row.__dict__.items()):
        if name not in HIDDEN and not name.startswith("_") and (type(row).__name__, name) != ("OpenPlace", "address"):
            values[name] = plain(_converted(fields.get(name), value))
    for name, related in sorted(row._state.fields_cache.items()):
        if name.endswith("_ptr"):  # Django reads the parent of an inherited model from the columns of the row itself
            continue
        values[f"cached {name}"] = None if related is None else (type(related).__name__, related.pk)
    for name, rows in sorted(getattr(row, "_prefetched_objects_cache", {}).items()):
        values[f"prefetched {name}"] = [(type(one).__name__, one.pk) for one in rows]
    return type(row).__name__, values


def _converted(field: Any, value: Any) -> Any:
    """Return a value of a field as the field has it: a mirror may get it from the service, where a local row keeps
    the argument."""
    if field is None or hasattr(value, "resolve_expression"):
        return value
    try:
        value = field.to_python(value)
    except Exception:  # noqa: BLE001 - a value that the field refuses is compared as it is
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value.normalize() if isinstance(value, Decimal) else value


@functools.cache
def _selects() -> dict[str, str]:
    """Return a statement for each table that programs write."""
    models = sides()[0]
    written = [getattr(models, name)._meta for name in WRITTEN]
    written += [relation.through._meta for relation in (models.Product.tags, models.Person.friends)]
    selects = {}
    for options in written:
        keys = options.auto_created and options.pk.column
        columns = [field.column for field in options.concrete_fields if field.column not in {*HIDDEN, "at", keys}]
        columns = [field.column for field in options.local_concrete_fields if field.column in columns]
        listed = ", ".join(f'"{column}"' for column in columns)
        selects[options.db_table] = f'SELECT {listed} FROM "{options.db_table}" ORDER BY {listed}'
    return selects


def tables(database: str = "default") -> dict[str, Any]:
    """Return the rows of all tables that programs write, as the database stores them."""
    stored = {}
    with connections[database].cursor() as cursor:
        for table, select in _selects().items():
            cursor.execute(select)
            stored[table] = cursor.fetchall()
    return stored


def sides() -> tuple[Any, Any]:
    """Return the models of the service and the mirrors, under the same names."""
    from django_rpc.demo.client.shop import models as remote_shop
    from django_rpc.demo.client.zoo import models as remote_zoo
    from django_rpc.demo.server.shop import models as local_shop
    from django_rpc.demo.server.zoo import models as local_zoo

    def chosen(*modules: Any) -> Any:
        known: dict[str, Any] = {}
        for module in modules:
            known |= {name: getattr(module, name) for name in (*MODELS, "AuditEntry") if hasattr(module, name)}
        return SimpleNamespace(**known)

    return chosen(local_shop, local_zoo), chosen(remote_shop, remote_zoo)
