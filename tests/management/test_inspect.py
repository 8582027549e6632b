"""``manage.py rpc_inspect`` in a small project: its file passes the checks, and its mirrors can be used."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).parents[2]
FILES = {
    "settings.py": """
SECRET_KEY = "x"
INSTALLED_APPS = ["django_rpc", "library", "reading"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DJANGO_RPC = {"BROKER_URL": "memory://", "CLIENTS": {"anonymous": {}}}
# E032: the models of the service are in this project, too, with constraints of the same names.
SILENCED_SYSTEM_CHECKS = ["django_rpc.W021", "models.E032"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "library.sqlite3"},
    "rpc": {
        "ENGINE": "django_rpc.backend",
        "BROKER_URL": "memory://",
        "RESULT_BACKEND": "cache+memory://",
        "CELERY": {"task_always_eager": True},
    },
}
DATABASE_ROUTERS = ["django_rpc.routers.RpcRouter"]
""",
    "library/__init__.py": "",
    "library/models.py": """
import datetime
import uuid
from decimal import Decimal

import django
from django.db import models
from django.utils import timezone

CONDITION = "condition" if django.VERSION >= (5, 1) else "check"


class Author(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=1)
    cost = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    status = models.CharField(max_length=9, default="new")
    token = models.UUIDField(default=uuid.uuid4)
    added = models.DateTimeField(default=timezone.now)
    changed = models.DateTimeField(auto_now=True)
    day = models.DateField(auto_now_add=True)
    labels = models.JSONField(default=list)
    secret = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(**{CONDITION: models.Q(price__gt=Decimal("0.50"))}, name="price_is_high"),
            models.CheckConstraint(
                **{CONDITION: models.Q(cost__lte=models.F("price")) | ~models.Q(status__in=["new", "old"])},
                name="cost_is_covered",
                violation_error_message="The price is below the cost.",
            ),
            models.CheckConstraint(**{CONDITION: models.Q(secret__lt=5)}, name="secret_is_low"),
            models.CheckConstraint(
                **{CONDITION: models.Q(price__lt=models.F("cost") + 100)}, name="with_an_expression"
            ),
        ]


class CheapBook(Book):
    class Meta:
        proxy = True


class OldBook(Book):
    class Meta:
        proxy = True

    def save(self, *args, **kwargs):
        self.status = "old"
        super().save(*args, **kwargs)
""",
    "library/rpc.py": """
from django_rpc.server import ModelRpc, site

from .models import Author, Book, CheapBook, OldBook

ALL = {"read", "create", "update", "delete"}
FIELDS = "id author title price cost status token added changed day labels".split()


@site.register(Author)
class AuthorRpc(ModelRpc):
    fields = ["id", "name"]
    operations = ALL


@site.register(Book)
class BookRpc(ModelRpc):
    fields = FIELDS
    readonly_fields = "token added changed day labels".split()
    operations = ALL


@site.register(OldBook)
class OldBookRpc(BookRpc):
    pass


@site.register(CheapBook)
class CheapBookRpc(ModelRpc):
    fields = ["id", "author", "title"]
    operations = ALL
""",
    "reading/__init__.py": "",
    "reading/models.py": """
from django.db import models

from django_rpc.models import RpcModel


class Author(RpcModel):
    class Rpc:
        app_label = "library"
""",
    # Needs the models to start, as a project's apps do.
    "reading/apps.py": """
from django.apps import AppConfig


class ReadingConfig(AppConfig):
    name = "reading"

    def ready(self):
        from .models import Author

        Author.objects
""",
    "use.py": """
import django

django.setup()
from django.core.exceptions import ValidationError

from library.models import Book as Row
from reading.models import Author, Book, CheapBook, OldBook

author = Author.objects.create(name="Ursula")
book = Book.objects.create(author=author, title="Eden")
row = Row.objects.get()
print(book.price, book.status, book.labels, book.token == row.token, book.added == row.added)
book.title = "Fiasco"
book.save()
print(Row.objects.get().title)

cheap = CheapBook.objects.create(author=author, title="Solaris")
print([book.title for book in CheapBook.objects.order_by("id")], cheap.author.name)
print(sorted(f.name for f in CheapBook._meta.concrete_fields))

old = OldBook.objects.create(author=author, title="Summa")
print(old.status, type(OldBook.objects.get(title="Summa")).__name__)
OldBook.objects.get(title="Summa").delete()
print(Row.objects.count())

for values in ({"price": 0, "cost": 0}, {"price": 2, "cost": 3}, {"price": 2, "cost": 3, "status": "gone"}):
    try:
        Book(author=author, title="x", **values).full_clean()
    except ValidationError as error:
        print(error.message_dict["__all__"])
    else:
        print("valid")
""",
}
PRINTED = """\
1 new [] True True
Fiasco
['Fiasco', 'Solaris'] Ursula
['author', 'id', 'title']
old OldBook
2
['Constraint “price_is_high” is violated.']
['The price is below the cost.']
valid
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(*command, check=True):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    run.folder = folder
    run("-m", "django", "migrate", "--run-syncdb")
    done = run("-m", "django", "rpc_inspect", "rpc", "--output", "reading/models.py")
    assert "4 mirrors were written to reading/models.py." in done.stderr
    return run


def test_the_file_that_is_replaced_was_needed_to_start(run):
    """Writing it a second time gives the same text, and leaves no other file behind."""
    models = run.folder / "reading" / "models.py"
    text = models.read_text()
    assert run("-m", "django", "rpc_inspect").stdout == text
    run("-m", "django", "rpc_inspect", "--output", "reading/models.py")
    assert models.read_text() == text
    assert {path.name for path in models.parent.iterdir()} - {"__pycache__"} == {"__init__.py", "apps.py", "models.py"}


def test_a_failure_leaves_the_file_as_it_was(run):
    models = run.folder / "reading" / "models.py"
    text = models.read_text()
    done = run("-m", "django", "rpc_inspect", "rpc", "library.Buk", "--output", "reading/models.py", check=False)
    assert done.returncode == 1
    assert "Did you mean 'library.Book'" in done.stderr
    assert models.read_text() == text
    done = run("-m", "django", "rpc_inspect", "--output", "nowhere/models.py", check=False)
    assert "CommandError: nowhere/models.py could not be written" in done.stderr


@pytest.mark.django_db(databases=["default", "rpc"])
@pytest.mark.parametrize("kind", [str, Path])
def test_call_command_writes_to_a_path_of_each_type(tmp_path, kind):
    path = tmp_path / "models.py"
    call_command("rpc_inspect", "rpc", output=kind(path), stderr=StringIO())
    assert path.read_text().startswith('"""')


def test_the_mirrors_pass_the_checks(run):
    assert "no issues" in run("-m", "django", "check", "--database", "rpc").stdout


def test_constraints_with_hidden_fields_or_expressions_are_left_out(run):
    text = (run.folder / "reading" / "models.py").read_text()
    assert "price_is_high" in text
    assert "cost_is_covered" in text
    assert "secret" not in text
    assert "with_an_expression" not in text


def test_the_mirrors_are_used(run):
    assert run("use.py").stdout == PRINTED
