"""The main job on real parts: a client's querysets, a broker, a worker process, a database."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from pathlib import Path

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, connections
from django.db.models import CharField, Count, F, ProtectedError, Q
from django.db.models.functions import Length

from django_rpc import errors
from django_rpc.demo import environment
from django_rpc.demo.services import worker
from django_rpc.graph.delayed.delayed import compute
from django_rpc.models import RpcModel

HERE = Path(__file__).parent


class Forbidden(RpcModel):
    """A mirror of a model that the example service hides."""

    class Rpc:
        app_label = "auth"
        name = "User"

    class Meta:
        app_label = "main_job_tests"

    username = CharField(max_length=150)


class NoSuchModel(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        app_label = "main_job_tests"


class WrongField(RpcModel):
    """A mirror with a field that the service does not have, and a field that it hides."""

    class Rpc:
        app_label = "shop"
        name = "Customer"

    class Meta:
        app_label = "main_job_tests"

    nickname = CharField(max_length=10)
    secret_note = CharField(max_length=10)


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


def test_the_seeds_job(live_rpc, remote, messages):
    model = remote.ClientModel
    rows = [model.objects.create(some_field="live-123", other_field=number) for number in (0, 1)]
    try:
        with messages() as sent:
            found = model.objects.filter(some_field="live-123").exclude(other_field=1).get()
            assert found == rows[0]
            qs = model.objects.future().filter(some_field="live-123")
            f1 = qs.submit()
            result = f1.result(timeout=10)
            assert sorted(item.pk for item in list(result)) == [row.pk for row in rows]
            assert bool(result)
            f2 = model.objects.filter(some_field="live-123").order_by("pk").future().first()
            assert f2.result() == rows[0]
            result1, result2 = connections["rpc"].cursor().gather(f1, f2)
            assert (len(result1), result2) == (2, rows[0])
            assert len(sent) == 3
        d = model.objects.filter(some_field="live-123").values("pk").delayed()
        with messages() as sent:
            assert len(d.compute()) == 2
            assert model.objects.filter(Q(pk__in=d) & ~Q(pk=-1)).count() == 2
            assert model.objects.call("manager_function", 1, 2, a=3, b=4)["sum"] == 10
            counts = connections["rpc"].cursor().gather(model.objects.delayed().count(), model.objects.filter(pk__in=d))
            assert len(sent) == 4
        assert len(counts[1]) == 2
    finally:
        model.objects.filter(some_field="live-123").delete()


SCRIPT = """
import django
from django.conf import settings

settings.configure()
django.setup()
from django.db import connections, models
from django_rpc.models import RpcModel

settings.DATABASES["rpc"] = {four_keys}
settings.DATABASE_ROUTERS = ["django_rpc.routers.RpcRouter"]

class Buyer(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Customer"
    name = models.CharField(max_length=100)

class Purchase(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Order"
    customer = models.ForeignKey(Buyer, models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=12, decimal_places=2)

best = Purchase.objects.select_related("customer").order_by("-total", "pk").first()
assert type(best.customer) is Buyer
assert Buyer.objects.filter(orders__total=best.total).first() is not None
spent = Buyer.objects.annotate(n=models.Count("orders"), sum=models.Sum("orders__total")).get(pk=best.customer_id)
assert spent.n == len(spent.orders.all()) and spent.sum >= best.total
assert best in Buyer.objects.prefetch_related("orders").get(pk=best.customer_id).orders.all()
print("done", connections["rpc"].vendor)
"""


def test_a_script_with_the_four_keys(live_service, run_python):
    names = ("BROKER_URL", "DEFAULT_QUEUE_NAME", "PRIORITY_QUEUE_NAME", "RESULT_BACKEND")
    keys = {name: live_service.settings[name] for name in names}
    done = run_python(SCRIPT.replace("{four_keys}", repr(keys)), env={"DJANGO_SETTINGS_MODULE": ""})
    assert done.stdout == "done rpc\n"


def test_reads(live_rpc, remote, messages):
    with messages() as sent:
        customers = list(
            remote.Customer.objects.filter(Q(tier="vip") | Q(city__startswith="O"))
            .annotate(n=Count("orders"), size=Length("name"))
            .select_related("profile", "referred_by")
            .prefetch_related("orders__lines__product")
            .order_by("-n", "id")[:5]
        )
        assert all(len(customer.orders.all()) == customer.n for customer in customers)
        assert sum(len(order.lines.all()) for customer in customers for order in customer.orders.all()) > 0
    assert len(sent) == 1
    assert remote.Order.objects.dates("created", "year").count() >= 1
    first, last = remote.Order.objects.earliest(), remote.Order.objects.latest()
    assert first.created <= last.created
    assert first.created.utcoffset().total_seconds() == 0
    card = remote.CustomerCard.objects.get(pk=customers[0].pk)
    assert card.order_count == customers[0].n
    assert customers[0].name in card.display_name
    order = remote.OrderCard.objects.order_by("-total").first()
    assert order.is_large is (order.total >= 500)


def test_writes(live_rpc, remote, name, messages):
    with messages() as sent:
        tag = remote.Tag.objects.create(name=name)
        tag.name = f"{name}-2"
        tag.save()
        again, created = remote.Tag.objects.get_or_create(name=f"{name}-2")
        assert (again, created) == (tag, False)
        many = remote.Tag.objects.bulk_create([remote.Tag(name=f"{name}-b{i}") for i in range(20)])
        assert len({item.pk for item in many}) == 20
        product = remote.Product.objects.order_by("pk").first()
        product.tags.add(tag, *many)
        assert product.tags.filter(name__startswith=name).count() == 21
        assert remote.Tag.objects.filter(name__startswith=f"{name}-b").delete()[0] >= 20
        tag.delete()
    assert len(sent) == 9
    order = remote.Order.objects.create(customer=remote.Customer.objects.first())
    assert order.number  # which the server's save() has filled in
    assert remote.AuditEntry.objects.filter(object_pk=str(order.pk), action="create").count() == 1
    assert remote.Order.objects.filter(pk=order.pk).getset(total=F("total") + 5) == [{"id": order.pk, "total": 0}]
    order.refresh_from_db()
    assert order.total == 5
    order.delete()


def test_a_dependent_graph_in_one_transaction(live_rpc, remote, name, messages):
    orders, lines = remote.Order.objects, remote.Line.objects
    vip = remote.Customer.objects.filter(tier="vip").order_by("pk")
    order = orders.delayed().create(customer=vip.delayed().first(), number=name, total=5)
    line = lines.delayed().create(order=order, product=remote.Product.objects.delayed().first(), quantity=3)
    with messages() as sent:
        found_order, found_line = compute(order, line)
    assert len(sent) == 1
    assert (found_line.order_id, found_order.number, found_order.customer_id) == (found_order.pk, name, vip[0].pk)
    orders.filter(number=name).delete()


@pytest.mark.parametrize("fault", ["integrity", "method", "missing row"])
def test_all_is_rolled_back_when_a_later_node_fails(live_rpc, remote, name, fault):
    orders = remote.Order.objects
    order = orders.delayed().create(customer=remote.Customer.objects.delayed().first(), number=name)
    product = remote.Product.objects.delayed().first()
    line = remote.Line.objects.delayed().create(order=order, product=product)
    entries = remote.AuditEntry.objects.count()
    if fault == "integrity":
        later, expected = remote.Line.objects.delayed().create(order=line.order, product=line.product), IntegrityError
    elif fault == "method":
        later, expected = remote.Customer.objects.delayed().call("not_exposed", line), AttributeError
    else:
        later, expected = remote.Line.objects.delayed().get(pk=line.pk, quantity=77), remote.Line.DoesNotExist
    with pytest.raises(expected) as caught:
        compute(order, line, later)
    note = "\n".join(caught.value.__notes__)
    assert "failed at the service: " in note
    assert {"integrity": "Line.objects.create(", "method": "not_exposed", "missing row": "Line.objects.get("}[
        fault
    ] in note
    assert f"written at {__file__}:" in note
    assert not orders.filter(number=name).exists()
    assert not remote.Line.objects.filter(order__number=name).exists()
    assert remote.AuditEntry.objects.count() == entries


def test_errors_are_classes_of_django(live_rpc, remote, name):
    customers = remote.Customer.objects
    with pytest.raises(remote.Customer.DoesNotExist):
        customers.get(pk=-1)
    with pytest.raises(remote.Customer.MultipleObjectsReturned):
        customers.delayed().get().compute()
    with pytest.raises(remote.CustomerCard.DoesNotExist):
        remote.CustomerCard.objects.future().get(pk=-1).result()
    with pytest.raises(IntegrityError):
        remote.Tag.objects.create(name=remote.Tag.objects.first().name)
    with pytest.raises(ProtectedError) as caught:
        remote.Category.objects.filter(products__isnull=False).first().delete()
    assert all(isinstance(item, remote.Product) for item in caught.value.protected_objects)
    with pytest.raises(ValidationError) as invalid:
        remote.Customer(email="no", tier="no", name="").full_clean()
    assert {"email", "tier", "name"} <= set(invalid.value.message_dict)


def test_unknown_names_at_service(live_rpc, remote):
    for model, asked in (
        (Forbidden, "auth.User"),
        (NoSuchModel, "shop.NoSuchModel"),
    ):
        with pytest.raises(errors.RpcError, match=asked) as caught:
            list(model.objects.all())
        assert type(caught.value).__name__ == "UnknownModel"
    assert same_text(Forbidden, "auth.User") == same_text(NoSuchModel, "shop.NoSuchModel")
    for field in ("nickname", "secret_note"):  # a client cannot distinguish them
        with pytest.raises(FieldError, match=f"Cannot resolve keyword '{field}'") as caught:
            list(WrongField.objects.filter(**{field: "x"}).values("pk"))
        assert "Customer" in "\n".join(caught.value.__notes__)
    with pytest.raises(FieldError, match="Unsupported lookup 'nolookup'"):
        remote.Customer.objects.delayed().filter(name__nolookup=1).count().compute()
    with pytest.raises(AttributeError, match="not_exposed"):
        remote.ClientModel.objects.call("not_exposed")
    assert remote.Customer.objects.exists(), "the worker goes on"


def same_text(model, label):
    with pytest.raises(errors.RpcError) as caught:
        model.objects.count()
    return str(caught.value).replace(label, "X")


def test_an_error_at_the_users_line(live_rpc, remote, messages):
    with messages() as sent:
        with pytest.raises(FieldError, match="nothing"):
            remote.Customer.objects.filter(nothing=1)
        with pytest.raises(FieldError, match="nothing"):
            remote.Customer.objects.filter(Q(Q(name="a") | ~Q(orders__nothing=1)))
        with pytest.raises(FieldError, match="nothing"):
            remote.Customer.objects.order_by("nothing")
        with pytest.raises(FieldError, match="nothing"):
            remote.Customer.objects.annotate(x=Count("nothing"))
        assert len(sent) == 0
    wrong, line = remote.Customer.objects.delayed().filter(nothing=1).count(), line_here()
    with pytest.raises(FieldError, match="nothing") as caught:
        (wrong + 1).compute()
    note = "\n".join(caught.value.__notes__)
    assert "failed at the service: Customer.objects.filter(nothing=1)" in note
    assert f"written at {__file__}:{line}\n" in note
    assert "request " in note


def line_here():
    import sys

    return sys._getframe(1).f_lineno


def test_the_clients_log(live_rpc, remote, caplog):
    before = time.time()
    with caplog.at_level(logging.INFO, "django_rpc.client"):
        remote.Customer.objects.count()
        with pytest.raises(FieldError):
            remote.Customer.objects.delayed().filter(nothing=1).count().compute()
    good, bad = [record for record in caplog.records if record.name == "django_rpc.client"]
    for record in (good, bad):
        assert (record.rpc_client_host, record.rpc_client_process) == (socket.gethostname(), os.getpid())
        assert before <= record.rpc_called_at <= time.time()
        assert len(record.rpc_request) == 32
        assert record.rpc_service == "rpc"
    assert (good.rpc_error, bad.rpc_error) == (None, "FieldError")
    assert good.rpc_request != bad.rpc_request


@pytest.fixture(scope="module")
def open_service(redis, prepared, sqlite_url, tmp_path_factory):
    """A worker with ``main_job_settings``: (settings, the file of its log)."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    env = environment.variables(broker=redis.url, database=prepared(sqlite_url), queue=queue)
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {
        "BROKER_URL": redis.url,
        "RESULT_BACKEND": redis.url,
        "DEFAULT_QUEUE_NAME": queue,
        "PRIORITY_QUEUE_NAME": f"{queue}_priority",
        "TIMEOUT": 20,
    }
    with worker("main_job_settings", {**env, "PYTHONPATH": path, "MAIN_JOB_LOG": str(log)}):
        yield settings, log


@pytest.fixture
def open_rpc(open_service, use_service):
    class Service:
        settings = open_service[0]

    with use_service(Service):
        yield open_service[1]


def test_the_servers_log(open_rpc, remote):
    future = remote.Customer.objects.future().count()
    future.result()
    with pytest.raises(FieldError) as caught:
        remote.Customer.objects.delayed().filter(nothing=1).count().compute()
    lines = [line.split("|") for line in open_rpc.read_text().splitlines() if line.count("|") == 5]
    by_request = {line[1]: line for line in lines}
    text, _, host, process, program, called_at = by_request[future.request_id]
    assert text == "The request was answered"
    assert (host, process) == (socket.gethostname(), str(os.getpid()))
    assert program
    assert abs(float(called_at) - time.time()) < 60
    failed = [line[0] for line in lines if line[1] == caught.value.request_id]
    assert "The request failed: FieldError" in failed


def test_an_exception_that_no_client_knows(open_rpc, remote):
    with pytest.raises(errors.RemoteError) as caught:
        remote.Customer.objects.call("explode")
    error = caught.value
    assert (type(error).__name__, error.remote_name) == ("StockExhausted", "StockExhausted")
    assert type(error) is errors.remote_class("StockExhausted")
    assert "nothing to sell" in str(error)
    note = "\n".join(error.__notes__)
    assert "failed at the service: Customer.objects.call('explode')" in note
    assert error.request_id in note
    assert error.remote_traceback is None  # the server does not show it


def test_rows_that_exist_for_a_client(open_rpc, remote, name):
    customers = remote.Customer.objects
    assert set(customers.values_list("tier", flat=True)) == {"vip"}
    hidden = remote.Order.objects.exclude(customer__in=customers.all()).values_list("customer_id", flat=True).first()
    assert hidden is not None
    assert not customers.filter(pk=hidden).exists()
    with pytest.raises(remote.Customer.DoesNotExist):
        customers.get(pk=hidden)
    assert customers.filter(pk=hidden).update(name=name) == 0
    assert customers.filter(pk=hidden).delete()[0] == 0
    assert set(remote.Order.objects.exclude(customer__tier=None).values_list("customer__tier", flat=True)) == {"vip"}


def test_a_server_that_is_open(open_rpc, remote):
    assert Forbidden.objects.count() == 0
    with pytest.raises(errors.RpcError, match="NoSuchModel"):
        NoSuchModel.objects.count()


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_the_priority_queue(broker, redis, prepared, sqlite_url, request, use_service, remote):
    """A worker on the priority queue answers only calls with priority."""
    url = redis.url if broker == "redis" else request.getfixturevalue("rabbitmq_url")
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    env = environment.variables(broker=url, backend=redis.url, database=prepared(sqlite_url), queue=queue)

    class Service:
        settings = {
            "BROKER_URL": url,
            "RESULT_BACKEND": redis.url,
            "DEFAULT_QUEUE_NAME": queue,
            "PRIORITY_QUEUE_NAME": f"{queue}_priority",
            "TIMEOUT": 60,
            "WORKER_GRACE": None,  # a call waits here for a worker that starts late
        }

    customers = remote.Customer.objects
    try:
        with use_service(Service), worker(env=env, queues=[f"{queue}_priority"]):
            assert customers.delayed().count().compute(priority=True) > 0
            assert customers.with_options(priority=True, timeout=10).count() > 0
            waiting = customers.future().count()
            with pytest.raises(errors.RpcTimeout):
                waiting.result(timeout=1.5)
            with pytest.raises(errors.RpcTimeout):
                customers.with_options(timeout=1).count()
            assert customers.filter(pk=1).with_options(priority=True).exists()
            with worker(env=env, queues=[queue]):
                assert waiting.result(timeout=60) > 0
    finally:
        if broker == "rabbitmq":
            from kombu import Connection

            with Connection(url) as connection:
                for name in (queue, f"{queue}_priority"):
                    connection.default_channel.queue_delete(name)
