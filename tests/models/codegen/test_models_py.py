"""The text of a mirror is formatted, imports the names that it needs, and declares the described model."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from django.db import models

import django_rpc
from django_rpc.graph.schema import FieldSchema, ModelSchema
from django_rpc.models.codegen.models_py import models_source

#: Values with a ``repr`` that a formatter would change, or that is no expression of Python.
TEXTS = ["it's", '"so"', 'it\'s "so"', "back\\slash'", "\n\t\0", "žluťoučký 🦊🦊🦊 ключ", "\\'", "x\\", '\\"\\"\\"']
DEFAULTS = [*TEXTS, float("inf"), float("-inf"), Decimal("1.500"), Decimal("-0"), 2**70, True]


def ruff(*command, text, folder):
    """A directory with django_rpc installed, and without the settings of a project."""
    command = [sys.executable, "-m", "ruff", *command, "--isolated", "-"]
    return subprocess.run(command, input=text.encode(), cwd=folder, capture_output=True, timeout=60)


@pytest.fixture
def load(monkeypatch):
    """The names of a text that was run as a module; its models belong to no app."""
    monkeypatch.setattr("django.apps.registry.Apps.register_model", lambda *args: None)

    def run(text):
        found = {"__name__": "django_rpc.demo.client.shop.models"}
        exec(compile(text, "written", "exec"), found)
        return found

    return run


def model(*fields, **more):
    return ModelSchema(model="shop.Thing", fields=list(fields), **more)


def test_any_default_and_help(load, tmp_path):
    fields = [
        FieldSchema(name=f"f{i}", type="TextField", default=value, help_text=f"{TEXTS[i % len(TEXTS)]} {'long ' * i}")
        for i, value in enumerate(DEFAULTS)
    ]
    text = models_source({"shop.Thing": model(*fields)})
    made = load(text)["Thing"]
    for described in fields:
        found = made._meta.get_field(described.name)
        assert repr(found.default) == repr(described.default)
        assert found.help_text == described.help_text
    assert ruff("format", text=text, folder=tmp_path).stdout.decode() == text
    checked = ruff("check", text=text, folder=tmp_path)
    assert checked.returncode == 0, checked.stdout.decode()


def test_options_of_single_class(load):
    described = model(
        FieldSchema(name="slug", type="SlugField", allow_unicode=True),
        FieldSchema(name="ip", type="GenericIPAddressField", protocol="ipv4"),
    )
    made = load(models_source({"shop.Thing": described}))["Thing"]
    assert made._meta.get_field("slug").allow_unicode
    assert made._meta.get_field("ip").protocol.lower() == "ipv4"


def test_field_with_reserved_name_is_left_out(load):
    text = models_source({"shop.Thing": model(FieldSchema(name="Rpc", type="TextField"))})
    assert "# Not declared: a field of the name Rpc." in text
    assert load(text)["Thing"]._rpc.label == "shop.Thing"


def test_a_key_of_several_fields(load):
    fields = [FieldSchema(name="row", type="IntegerField"), FieldSchema(name="column", type="IntegerField")]
    text = models_source({"shop.Thing": model(*fields, composite_key=["row", "column"])})
    if hasattr(models, "CompositePrimaryKey"):  # since Django 5.2
        assert load(text)["Thing"]._meta.pk.field_names == ("row", "column")
    else:
        assert "# The key is of row and column, which Django before 5.2 cannot declare." in text


@pytest.mark.django_db(databases=["default", "rpc"])
@pytest.mark.skipif(not hasattr(models, "GeneratedField"), reason="since Django 5.0")
def test_bulk_create_omits_generated_fields(local):
    filled = django_rpc.mirror("zoo.Filled")
    made = filled.objects.bulk_create([filled(name="a"), filled(name="b", number=3), filled(name="c")])
    assert [row.number for row in made] == [7, 3, 7]
    assert list(local.Filled.objects.order_by("pk").values_list("name", "number")) == [("a", 7), ("b", 3), ("c", 7)]
