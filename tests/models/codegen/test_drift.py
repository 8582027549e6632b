"""``manage.py check --database rpc``: a difference has an id, a hint, and the message of docs/reference/checks.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps.registry import Apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.checks import ERROR, WARNING
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections, models

from django_rpc import checks
from django_rpc.graph.schema import FieldSchema, ModelSchema
from django_rpc.models import RpcModel
from django_rpc.models.codegen.drift import differences

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "checks.md"

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def mirror_of(label, _fields=None, **attrs):
    """A mirror of the service's model ``label`` with these fields, in no app."""
    app_label, _, name = label.partition(".")
    rpc = {"app_label": app_label, "name": name, **({"fields": _fields} if _fields else {})}
    attrs |= {"Rpc": type("Rpc", (), rpc), "Meta": type("Meta", (), {"app_label": "my_app", "apps": Apps()})}
    return type(RpcModel)(name, (RpcModel,), {"__module__": __name__, "__qualname__": name, **attrs})


def proxy_of(mirror, name=None):
    """A proxy of ``mirror``; with ``name``, of that model of the service."""
    attrs = {"Meta": type("Meta", (), {"app_label": "my_app", "apps": Apps(), "proxy": True})}
    if name is not None:
        attrs["Rpc"] = type("Rpc", (), {"name": name})
    return type(RpcModel)("Proxy", (mirror,), {"__module__": __name__, "__qualname__": "Proxy", **attrs})


@pytest.fixture
def found(monkeypatch):
    """``found(mirror, ...)``: the messages of the check for these mirrors."""

    def run(*mirrors):
        monkeypatch.setattr(checks, "_mirrors", lambda app_configs=None: list(mirrors))
        return checks.check_services(databases=["rpc"])

    return run


CASES = {
    "E011": (lambda: mirror_of("shop.Ordr"), "Did you mean 'shop.Order' or"),
    "E012": (lambda: mirror_of("shop.Order", totl=models.IntegerField()), "Did you mean 'total'?"),
    "E013": (lambda: mirror_of("shop.Order", number=models.IntegerField()), "Declare it as CharField."),
    "E014": (
        lambda: mirror_of("shop.Order", customer=models.ForeignKey(mirror_of("shop.Product"), models.CASCADE)),
        "Let it lead to a mirror of shop.Customer.",
    ),
    "E015": (
        lambda: mirror_of("shop.Order", number=models.CharField(max_length=32, primary_key=True)),
        "The primary key of shop.Order is 'id': declare it so.",
    ),
    "E016": (lambda: mirror_of("shop.Order", _fields=["is_larg"]), "Did you mean 'is_large'?"),
    "W011": (lambda: mirror_of("shop.Customer", notes=models.TextField()), "Declare it with null=True."),
    "W012": (
        lambda: mirror_of("shop.Order", status=models.CharField(max_length=10, null=True)),
        "Declare it without null=True.",
    ),
    "W013": (
        lambda: mirror_of("shop.Order", number=models.CharField(max_length=20)),
        "Declare it with the service's max_length.",
    ),
    "W014": (
        lambda: mirror_of("shop.Order", number=models.CharField(max_length=64)),
        "Declare it with the service's max_length.",
    ),
    "W015": (
        lambda: mirror_of("shop.Customer", order_count=models.IntegerField()),
        "Declare it with editable=False.",
    ),
    "W016": (
        lambda: mirror_of("shop.Customer", order_count=models.IntegerField(default=0, editable=False)),
        "Remove default, auto_now and auto_now_add",
    ),
    "E017": (lambda: proxy_of(mirror_of("shop.Order"), "Customer"), "Derive the mirror from RpcModel"),
}  # fmt: skip


@pytest.mark.parametrize("id", CASES)
def test_difference_messages_match_the_page(found, id):
    make, hint = CASES[id]
    (message,) = found(make())
    assert message.id == f"django_rpc.{id}"
    assert message.level == (ERROR if id[0] == "E" else WARNING)
    assert message.hint.startswith(hint)
    assert f"| `django_rpc.{id}` | {message.msg} |" in PAGE.read_text()


def test_the_page_has_each_id_and_no_other():
    on_the_page = re.findall(r"^\| `django_rpc\.(\w+)`", PAGE.read_text(), re.MULTILINE)
    package = Path(checks.__file__).parent
    in_the_code = set(re.findall(r"\"([EW]\d{3})\"", (package / "models" / "codegen" / "drift.py").read_text()))
    assert in_the_code == set(CASES)
    for path in package.rglob("*.py"):
        in_the_code.update(re.findall(r"\"django_rpc\.([EW]\d{3})\"", path.read_text()))
    assert sorted(on_the_page) == sorted(in_the_code)


def test_the_examples_mirrors_fit():
    call_command("check", tags=["database"], databases=["rpc"], fail_level="WARNING")


@pytest.mark.parametrize(
    ("label", "fields", "id"),
    [
        ("shop.Order", {"products": models.ForeignKey("self", models.CASCADE)}, "E013"),
        ("shop.Order", {"customer": models.CharField(max_length=9)}, "E013"),
        ("shop.Order", {"total": models.FloatField()}, "E013"),
        ("shop.Order", {"created": models.DateField()}, "E013"),
        ("shop.Order", {"total": models.DecimalField(max_digits=12, decimal_places=1)}, "W014 W013"),
        ("shop.Customer", {"active": models.IntegerField()}, "E013"),
        ("shop.Line", {"quantity": models.PositiveSmallIntegerField()}, "W013"),
        ("shop.Line", {"quantity": models.BigIntegerField()}, "W014"),
        ("shop.Profile", {"customer": models.OneToOneField("self", models.CASCADE)}, "E014"),
        # a name that is no model: Django reports it with fields.E300
        ("shop.Order", {"customer": models.ForeignKey("nowhere.Nothing", models.CASCADE)}, ""),
        # equivalent to the declaration of the service
        ("shop.Order", {"customer": models.BigIntegerField()}, ""),
        ("shop.Order", {"customer_id": models.BigIntegerField()}, ""),
        ("shop.Order", {"customer": models.ForeignKey(ContentType, models.CASCADE, related_name="+")}, ""),
        ("shop.Product", {"title": models.SlugField(max_length=120)}, ""),
        ("shop.AuditEntry", {"action": models.CharField(max_length=99, null=True)}, ""),  # it is only read
    ],
)
def test_types_and_sizes(found, label, fields, id):
    assert [message.id for message in found(mirror_of(label, **fields))] == [f"django_rpc.{one}" for one in id.split()]


def test_proxies_that_the_service_has_or_need_not_know(found):
    place = mirror_of("zoo.Place", name=models.CharField(max_length=50))
    assert found(proxy_of(place)) == []
    assert found(proxy_of(place, "OpenPlace")) == []


def local_model(**fields):
    attrs = {"Meta": type("Meta", (), {"app_label": "my_app", "apps": Apps()})}
    return type(models.Model)(
        "Local", (models.Model,), {"__module__": __name__, "__qualname__": "Local", **attrs, **fields}
    )


@pytest.mark.parametrize(
    "make", [lambda to, **o: models.ForeignKey(to, models.CASCADE, related_name="+", **o),
             lambda to, **o: models.OneToOneField(to, models.CASCADE, related_name="+", **o),
             lambda to, **o: models.ManyToManyField(to, related_name="+", **o)],
    ids=["ForeignKey", "OneToOneField", "ManyToManyField"],
)  # fmt: skip
def test_constraints_on_the_table_of_a_mirror(make, monkeypatch):
    mirror = mirror_of("shop.Order")
    wrong = local_model(order=make(mirror))
    right = local_model(order=make(mirror, db_constraint=False))
    unmanaged = mirror_of("shop.Line", order=make(mirror))

    def check(model):
        through = [many.remote_field.through for many in model._meta.local_many_to_many]
        monkeypatch.setattr(checks.apps, "get_models", lambda include_auto_created=False: [model, *through])
        return [(message.id, message.msg.partition(" leads")[0]) for message in checks.check_constraints()]

    assert check(wrong) == [("django_rpc.E002", "my_app.Local.order")]
    assert check(right) == check(unmanaged) == []


def test_names_without_similar_name_are_listed(found):
    model, field = found(mirror_of("elsewhere.Thing"), mirror_of("shop.Tag", zzz=models.IntegerField()))
    assert model.hint.startswith("It exposes")
    assert "shop.Order" in model.hint
    assert field.hint == "It exposes id, name."


def test_primary_key_of_other_name():
    described = {
        "a.Code": ModelSchema(model="a.Code", fields=[FieldSchema(name="code", type="CharField", primary_key=True)])
    }
    (found,) = differences(mirror_of("a.Code"), described)
    assert (found.id, found.hint) == ("E012", "The primary key there is 'code': declare it with primary_key=True.")


def test_foreign_key_to_other_field():
    key = FieldSchema(name="id", type="AutoField", primary_key=True)
    described = {
        "a.Code": ModelSchema(model="a.Code", fields=[key, FieldSchema(name="code", type="CharField", unique=True)]),
        "a.Use": ModelSchema(
            model="a.Use", fields=[key, FieldSchema(name="of", type="ForeignKey", to="a.Code", to_field="code")]
        ),
    }
    code = mirror_of("a.Code", code=models.CharField(max_length=9, unique=True))
    (found,) = differences(mirror_of("a.Use", of=models.ForeignKey(code, models.CASCADE)), described)
    assert (found.id, found.hint) == ("E014", 'Declare it with to_field="code".')
    fits = models.ForeignKey(code, models.CASCADE, to_field="code", related_name="+")
    assert differences(mirror_of("a.Use", of=fits), described) == []


def test_read_only_and_generic_fields():
    fields = [
        FieldSchema(name="id", type="AutoField", primary_key=True),
        FieldSchema(name="set_there", type="CharField", readonly=True),
        FieldSchema(name="kind", type="ForeignKey", to="contenttypes.ContentType"),
        FieldSchema(name="number", type="IntegerField"),
        FieldSchema(name="thing", type="TextField"),
    ]
    described = {"a.Note": ModelSchema(model="a.Note", fields=fields, operations=["create", "read"])}
    note = mirror_of(
        "a.Note",
        set_there=models.TextField(),
        kind=models.ForeignKey(ContentType, models.CASCADE, related_name="+"),
        number=models.IntegerField(),
        thing=GenericForeignKey("kind", "number"),
    )
    assert [(item.id, item.obj.name) for item in differences(note, described)] == [
        ("W015", "set_there"),
        ("E013", "thing"),
    ]


def test_one_message_per_checked_service(messages):
    with messages() as sent:
        assert checks.check_services(databases=["rpc"]) == []
    assert len(sent) == 1


def test_local_databases_are_not_checked(messages):
    with messages() as sent:
        assert checks.check_services(databases=["default"]) == checks.check_services() == []
    assert len(sent) == 0


UNREACHABLE = {
    "DJANGO_SETTINGS_MODULE": "django_rpc.demo.client.settings",
    "DJANGO_RPC_DEMO_BROKER_URL": "redis://127.0.0.1:1/0",
}


def test_unreachable_service_is_one_check_message(run_python):
    done = run_python(
        "import django; django.setup()\n"
        "from django.core import checks\n"
        "found = checks.run_checks(databases=['rpc'])\n"
        "print(len(found), found[0])",
        env=UNREACHABLE,
    )
    assert done.stdout.startswith(
        "1 DATABASES['rpc']: (django_rpc.E010) The service 'rpc' could not be asked what it exposes: "
    )
    assert "127.0.0.1:1" in done.stdout
    assert "The service 'rpc' could not be asked what it exposes: " in PAGE.read_text()


def test_wrong_setting_of_a_service_is_a_check_message_without_asking(messages):
    connections["rpc"].settings_dict["RESULT_BACKENDS"] = "redis://localhost/"
    try:
        with messages() as sent:
            (message,) = checks.check_settings()
    finally:
        del connections["rpc"].settings_dict["RESULT_BACKENDS"]
    assert message.id == "django_rpc.E003"
    assert message.msg == "DATABASES['rpc'] has no 'RESULT_BACKENDS'; did you mean 'RESULT_BACKEND'?"
    assert len(sent) == 0
    assert checks.check_settings() == []


def test_a_test_run_does_not_wait_for_a_service(run_python):
    done = run_python(
        "import django; django.setup()\n"
        "from django.test.utils import setup_test_environment; setup_test_environment()\n"
        "from django.core import checks\n"
        "print(checks.run_checks(databases=['rpc']))",
        env=UNREACHABLE,
    )
    assert done.stdout == "[]\n"


def test_the_command_fails_with_an_error(monkeypatch):
    monkeypatch.setattr(checks, "_mirrors", lambda app_configs=None: [mirror_of("shop.Ordr")])
    with pytest.raises(SystemCheckError, match=r"my_app.Ordr: \(django_rpc.E011\)[^\n]*\n\tHINT: Did you mean"):
        call_command("check", tags=["database"], databases=["rpc"])
