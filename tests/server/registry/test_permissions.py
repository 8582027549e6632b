"""Permissions by client: the Django user of a client, DRF's permission classes, and the policy table."""

from __future__ import annotations

import io
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.demo.server.shop.models import Customer, Order
from django_rpc.graph.nodes import DescribeModels
from django_rpc.server import DjangoModelPermissions, ModelRpc, handler, site
from django_rpc.server.conf import settings as server_settings
from django_rpc.server.core.clients import Client
from tests.server.conftest import call, method, request_for, source

SECRET = "s" * 32
CUSTOMERS, ORDERS = source("shop.Customer"), source("shop.Order")
CLIENTS = {
    "shop": {"keys": {"2026": SECRET}, "user": "rpc-shop"},
    "billing": {"keys": SECRET, "user": "rpc-billing"},
    "nobody": {"keys": SECRET, "user": "rpc-nobody"},
    "bare": {"keys": SECRET},
}


class PermittedRpc(DjangoModelPermissions):
    fields = ["id", "name", "city"]
    readonly_fields = ["city"]
    operations = {"read", "create", "update"}
    methods = ["shout"]

    def shout(self, request, queryset):
        return request.user.username


@pytest.fixture
def as_client(settings_of_server, registered, shop_data):
    """``as_client(name, node)``: the response to this client."""
    settings_of_server(SERVICE="stock", CLIENTS=CLIENTS)
    registered(Customer, PermittedRpc)
    for name in ("rpc-shop", "rpc-billing"):
        User.objects.create_user(name)

    def ask(name, *nodes):
        return handler.answer(request_for(*nodes), server_settings.clients[name])

    return ask


def permit(username, *names):
    User.objects.get(username=username).user_permissions.add(*Permission.objects.filter(codename__in=names))


def code(response):
    return response.error.code if response.error else "done"


COUNT = method(CUSTOMERS, "count")
UPDATE = method(CUSTOMERS, "update", name="x")
DELETE = method(CUSTOMERS, "delete")
CREATE = method(CUSTOMERS, "create", name="x", email="x@example.org")


@pytest.fixture
def permissions(db):
    from django.apps import apps
    from django.contrib.auth.management import create_permissions

    create_permissions(apps.get_app_config("shop"), verbosity=0)


def test_permissions_of_user(as_client, permissions):
    assert code(as_client("shop", COUNT)) == "UnknownModel"
    permit("rpc-shop", "view_customer")
    assert code(as_client("shop", COUNT)) == "done"
    assert code(as_client("shop", UPDATE)) == "PermissionDenied"
    assert code(as_client("shop", call(CUSTOMERS, "shout"))) == "PermissionDenied"
    permit("rpc-shop", "change_customer", "delete_customer")
    assert code(as_client("shop", UPDATE)) == "done"
    assert as_client("shop", call(CUSTOMERS, "shout")).outputs == ("rpc-shop",)
    assert code(as_client("shop", DELETE)) == "PermissionDenied", "the class does not have it among its operations"
    assert code(as_client("billing", COUNT)) == "UnknownModel"
    User.objects.filter(username="rpc-shop").update(is_active=False)
    assert code(as_client("shop", COUNT)) == "UnknownModel"


def test_client_without_user_has_no_permission(as_client, permissions, caplog):
    assert code(as_client("bare", COUNT)) == "UnknownModel"
    assert code(as_client("nobody", COUNT)) == "UnknownModel"
    assert "The user 'rpc-nobody' of the client 'nobody' does not exist" in caplog.text
    assert handler.answer(request_for(COUNT), Client("anonymous")).error.code == "UnknownModel"


def test_denied_model_is_like_unknown_model(as_client, permissions):
    answers = []
    for label in ("shop.Customer", "shop.Custom", "auth.User"):
        with CaptureQueriesContext(connection) as captured:
            response = as_client("billing", method(source(label), "count"))
        answers.append(
            (response.error.code, response.error.message.replace(label, "?"), [query["sql"] for query in captured])
        )
    assert answers[0] == answers[1] == answers[2]
    assert not any("shop_customer" in sql for sql in answers[0][2])


def test_a_relation_to_a_denied_model_is_a_column(as_client, permissions):
    response = as_client("billing", method(method(ORDERS, "filter", customer__name="x"), "count"))
    unknown = as_client("billing", method(method(ORDERS, "filter", customer__nome="x"), "count"))
    assert response.error.message.replace("name", "?") == unknown.error.message.replace("nome", "?")
    (described,) = as_client("billing", DescribeModels(models=("shop.Order",), service="rpc")).outputs
    assert "shop.Customer" not in str(described)


def test_rows_and_fields_by_client(as_client, registered):
    class OwnRpc(ModelRpc):
        fields = ["id", "number"]

        def get_queryset(self, request):
            assert request.client == "shop"
            return super().get_queryset(request).filter(customer__name=request.user.username)

    registered(Order, OwnRpc)
    Customer.objects.filter(pk=1).update(name="rpc-shop")
    assert as_client("shop", method(ORDERS, "count")).outputs == (Order.objects.filter(customer=1).count(),)


def test_user_is_loaded_only_if_needed(as_client, settings_of_server):
    with CaptureQueriesContext(connection) as captured:
        as_client("shop", method(ORDERS, "count"))
    assert any("auth_user" in query["sql"] for query in captured)
    site.unregister(Customer)
    site.register(Customer)(type("PlainRpc", (ModelRpc,), {"fields": ["id"]}))
    with CaptureQueriesContext(connection) as captured:
        as_client("shop", method(ORDERS, "count"))
    assert len(captured) == 1


def test_without_the_app_of_users(as_client, settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.auth"]
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.admin"]
    assert PermittedRpc(Customer).has_permission(handler.RpcRequest(), "read") is False


# rpc_policy


def printed(*args):
    out = io.StringIO()
    call_command("rpc_policy", *args, stdout=out)
    return out.getvalue()


def row(text, model):
    (line,) = [line for line in text.splitlines() if line.startswith(model + " ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table(as_client, permissions, registered):
    permit("rpc-shop", "view_customer", "change_customer")
    text = printed("shop")
    assert "client shop    user: rpc-shop    keys: 2026 (HS256)" in text
    assert SECRET not in text
    assert row(text, "shop.Customer") == [
        "shop.Customer",
        "read update",
        "id name city",
        "all",
        "all but city",
        "shout",
        "all",
    ]
    assert "shop.Customer " not in printed("billing")
    everybody = printed()
    assert [line.split()[1] for line in everybody.splitlines() if line.startswith("client ")] == list(CLIENTS)

    class NarrowRpc(ModelRpc):
        fields = ["id", "number"]

        def get_queryset(self, request):
            if request.client == "bare":
                raise LookupError("no tenant")
            return super().get_queryset(request).filter(pk=1)

    registered(Order, NarrowRpc)
    assert row(printed("shop"), "shop.Order")[-1] == "some"
    assert row(printed("bare"), "shop.Order")[-1] == "LookupError: no tenant"


def test_the_table_of_a_terminal(as_client):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    call_command("rpc_policy", "shop", stdout=out)
    assert "shop.Order" in out.getvalue()
    assert "┃" in out.getvalue()


def test_an_unknown_client(as_client, settings_of_server):
    with pytest.raises(CommandError, match="no client 'shpo'; the clients are: shop, billing"):
        printed("shpo")
    settings_of_server(CLIENTS={"shop": {}})
    with pytest.raises(CommandError, match="has to be a dict of keys"):
        printed()
    settings_of_server(STRICT=False)
    assert "STRICT is False" in printed("anonymous")


def test_long_cells_are_wrapped(as_client, registered):
    registered(Customer, fields=["id", "name", "email", "tier", "city", "joined", "credit", "active", "notes"])
    assert max(len(line) for line in printed("bare").splitlines()) < 200
    assert re.search(r"^ {20,}\S*(credit )?active notes", printed("bare"), re.MULTILINE)


def test_the_table_of_fields_that_are_apart(as_client, registered):
    class ApartRpc(ModelRpc):
        fields = ["id", "name", "city", "notes"]
        operations = {"read", "update"}

        def get_filterable_fields(self, request):
            return ["name", "city", "email"] if request.client == "shop" else []

        def get_writable_fields(self, request):
            return ["notes", "secret_note"] if request.client == "shop" else []

    registered(Customer, ApartRpc)
    reads = ["shop.Customer", "read update", "id name city notes"]
    assert row(printed("shop"), "shop.Customer") == [*reads, "all but notes and email", "notes secret_note", "-", "all"]
    assert row(printed("bare"), "shop.Customer") == [*reads, "id", "-", "-", "all"]


def test_a_mistake_of_a_method_is_an_error_of_the_service(as_client, registered, caplog):
    class WrongRpc(ModelRpc):
        def get_fields(self, request):
            return "name"

    registered(Customer, WrongRpc)
    response = as_client("bare", COUNT)
    assert (response.error.code, response.error.message) == (
        "Remote",
        "The service has a wrong setting; its log has the details.",
    )
    assert "has to be a list of names, not 'name'" in caplog.text
