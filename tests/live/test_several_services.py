"""Two and three services on one broker: what one hands to the next does not pass through the client.

Each service is a worker with a database of its own.  The client's way to Redis leads through a proxy that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import doctest
import socket
import threading
import time
from pathlib import Path

import pytest

from django_rpc import errors
from django_rpc.client.idempotency import once
from django_rpc.client.session import Session
from django_rpc.demo import environment
from django_rpc.demo.services import prepare_database, temporary_folder
from django_rpc.graph.delayed.delayed import Delayed, compute, delayed
from django_rpc.graph.nodes import ModelSource

from .conftest import run_service


class Proxy:
    """Passes on what goes to and from a TCP port, and counts the bytes that come back."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, start, end, counts):
        with contextlib.suppress(OSError):
            while data := start.recv(65_536):
                self.received += len(data) if counts else 0
                end.sendall(data)
        for one in (start, end):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()


class Service:
    """One service, as a client sees it."""

    def __init__(self, alias, settings, live):
        self.session = Session(settings, alias=alias)
        self.live = live

    def objects(self, model):
        return Delayed(ModelSource(f"shop.{model}", self.session.service, runner=self.session))


@pytest.fixture(scope="module")
def proxy(redis):
    made = Proxy(redis.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def services(redis, proxy):
    """The services a, b and c, which hold equal rows at the beginning."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        made = {}
        for alias in "abc":
            database = environment.sqlite_url(folder / f"{alias}.sqlite3")
            prepare_database(database, data={"customers": 2000, "products": 40, "orders": 300})
            live = stack.enter_context(run_service(alias, redis.url, redis.url, database, redis, concurrency=1))
            url = redis.url.replace(str(redis.port), str(proxy.port))
            made[alias] = Service(alias, {**live.settings, "BROKER_URL": url, "RESULT_BACKEND": url}, live)
        yield made


def emails(customers):
    """A long list of one service, made by it."""
    return customers.filter(pk__lte=2000).values_list("email", flat=True)


@pytest.fixture
def carried(monkeypatch):
    """``with carried():`` the client carries."""

    @contextlib.contextmanager
    def carried():
        with monkeypatch.context() as patch:
            patch.setattr(Session, "why_not_to", lambda self, other: "the test says so")
            yield

    return carried


def received(proxy, make):
    """The value, and the bytes that the client got for it."""
    make()  # connections are made
    before = proxy.received
    value = make()
    return value, proxy.received - before


def test_a_feeds_b_and_the_rows_do_not_pass_through_the_client(services, proxy, carried):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    feeding = b.filter(email__in=emails(a)).count()
    direct, few = received(proxy, feeding.compute)
    with carried():
        through_the_client, many = received(proxy, feeding.compute)
    assert direct == through_the_client == 2000
    rows, alone = received(proxy, emails(a).compute)
    assert len(rows) == 2000
    assert many > alone > 20_000 > 20 * few, (many, alone, few)


def test_a_and_c_in_parallel_feed_b(services, proxy, carried):
    a, b, c = (services[name].objects("Customer") for name in "abc")
    feeding = b.filter(email__in=emails(a)).exclude(email__in=emails(c.filter(pk__gt=10))).count()
    direct, few = received(proxy, feeding.compute)
    with carried():
        through_the_client, many = received(proxy, feeding.compute)
    assert direct == through_the_client == 10
    assert many > 40_000 > 40 * few, (many, few)


def test_forwarded_value_reaches_client_too(services, proxy):
    a, b, c = (services[name].objects("Customer") for name in "abc")
    first = a.get(pk=5).email
    many = emails(a)
    same, count = b.get(email=first).pk, b.filter(email__in=many).count()
    last = c.filter(pk=same, pk__lte=count).values_list("pk", flat=True)
    (found, gone, seen), few = received(proxy, lambda: compute(last, count, first))
    assert (found, gone) == ([5], 2000)
    assert "@" in seen
    assert few < 1_000  # what two services hand on, and what each of three answers


def test_local_function_receives_only_its_arguments(services, proxy):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    limit = delayed(lambda count: count - 1990)(a.count())
    feeding = b.filter(email__in=emails(a), pk__lte=limit).count()
    count, few = received(proxy, feeding.compute)
    assert count == 10
    assert few < 1_000


def test_instances_and_rows_are_forwarded(services):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    referred = b.filter(referred_by__isnull=False).order_by("pk").first().compute()
    by = dict(zip(referred.fields, referred.values, strict=True))["referred_by_id"]
    expected = b.filter(referred_by=by).count().compute()
    assert expected > 0
    assert b.filter(referred_by=a.get(pk=by)).count().compute() == expected
    for customers in (a.filter(pk=by), a.filter(pk=by).map(lambda row: row)):
        assert b.filter(referred_by__in=customers).count().compute() == expected
    pairs = a.filter(pk__lte=3).order_by("pk").values_list("pk", "email")
    assert delayed([b.filter(pk=pairs[1][0], email=pairs[1][1]).count()]).compute() == [1]


def test_writes_keep_their_order(services):
    """The second message of a writes, and needs a value of b; the first only reads."""
    a, b = services["a"].objects("Tag"), services["b"].objects("Tag")
    before = a.count()
    made = a.create(name=b.get(pk=1).name + " of b, and of a")
    after = a.count()
    counted, name, recounted = compute(before, made.name, after)
    assert name == "new of b, and of a"
    assert recounted == counted + 1


def test_write_of_forwarded_values_is_done_once(services):
    """A second sending of the whole has other messages, and the same requests."""
    a, b = services["a"].objects("Tag"), services["b"].objects("Tag")
    name = a.get(pk=2).name + " of a, once"

    def written():
        with once("several-services-once"):
            return b.create(name=name).id.compute()

    assert written() == written()
    assert b.filter(name=name).count().compute() == 1


def test_plan_names_forwarded_values(services):
    a, b, c = (services[name].objects("Customer") for name in "abc")
    fed = b.filter(email__in=emails(a), pk__in=c.filter(pk__lt=9).values("pk")).count()
    text = fed.explain(ask=False)
    assert text.startswith("1 round trip, 3 messages, ")
    assert text.count(": forwarded by that service") == 2
    drawn = fed.visualize(None, format="dot", plan=True).data.decode()
    assert (drawn.count("forwarded, "), drawn.count('label=" message ')) == (2, 2), drawn


def test_profile_names_forwarded_values(services):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    profile = b.filter(email__in=emails(a)).count().profile()
    assert profile.result == 2000
    assert ", 2 messages (" in str(profile)
    assert {cost.service for cost in profile.nodes if cost.statements} == {"a", "b"}
    drawn = profile.visualize(None, format="dot").data.decode()
    assert drawn.count("forwarded, ") == 1


def test_awaited_and_submitted(services, proxy):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    feeding = b.filter(email__in=emails(a)).count()

    async def main():
        return await asyncio.gather(*[_await(feeding) for _ in range(5)])

    values, few = received(proxy, lambda: asyncio.run(main()))
    assert values == [2000] * 5
    assert few < 10_000
    assert feeding.submit().result(10) == 2000


async def _await(value):
    return await value


# The page


@pytest.fixture
def aliases(services, database_alias, django_db_blocker):
    """The services as databases of this process: a, b and c are crm, sales and stock; nobody serves archive."""
    from django.db import connections

    common = {**connections.settings["rpc"], "CELERY": {}, "TEST": {"REAL_SERVICE": True}}
    known = {alias: services[name].live.settings for alias, name in zip(("crm", "sales", "stock"), "abc", strict=True)}
    known["archive"] = {**known["stock"], "BROKER_URL": "redis://archive.example.org/"}
    for alias, settings in known.items():
        database_alias(alias, {**common, **settings})
    with django_db_blocker.unblock():
        yield


def test_page_examples_are_true(aliases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "howto" / "several-services.md"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert tried > 20
    assert not failed


def test_the_rows_of_another_service_by_using(aliases):
    """The same models at another service: what is related to its rows is read there too."""
    import django_rpc

    orders = django_rpc.mirror("shop.Order", using="crm")
    made = orders.objects.using("sales").create(number="by using", customer_id=7)
    try:
        assert made._state.db == "sales"
        assert not orders.objects.filter(number="by using").exists()
        found = orders.objects.filter(number="by using").using("sales").get()
        assert (found, found._state.db, found.customer._state.db) == (made, "sales", "sales")
        assert (
            orders.objects.db_manager("sales").filter(number="by using").delayed().plan().stages[0].service == "sales"
        )
        line = found.lines.create(product_id=1, quantity=1, price=2)
        assert (line._state.db, found.lines.count(), found.lines.get()._state.db) == ("sales", 1, "sales")
        assert orders.objects.get(pk=1).customer._state.db == "crm"
        (prefetched,) = (
            orders.objects.using("sales").filter(pk=found.pk).select_related("customer").prefetch_related("lines")
        )
        assert (prefetched.customer._state.db, list(prefetched.lines.all())) == ("sales", [line])
    finally:
        made.delete()


@pytest.fixture(scope="module")
def cards():
    """Mirrors of two services, one with a foreign key to the other."""
    from django.db import models

    from django_rpc.models import RpcModel

    class Person(RpcModel):
        class Rpc:
            app_label, name, database = "shop", "Customer", "crm"

        class Meta:
            app_label = "cards"

        name = models.CharField(max_length=100)
        city = models.CharField(max_length=100)
        email = models.EmailField()
        joined = models.DateField()

    class Card(RpcModel):
        class Rpc:
            app_label, name, database = "shop", "Order", "sales"

        class Meta:
            app_label = "cards"

        number = models.CharField(max_length=32)
        customer = models.ForeignKey(Person, models.CASCADE, db_constraint=False, related_name="cards")

    return Person, Card


def test_a_foreign_key_to_a_mirror_of_another_service(aliases, cards):
    """What it holds is a key: no query joins the two, and all that needs none works."""
    from django.core.exceptions import FieldError

    import django_rpc

    people, all_cards = (model.objects for model in cards)
    person = people.get(pk=7)
    made = all_cards.create(number="of another", customer=person)
    try:
        assert all_cards.get(number="of another").customer == person
        assert person.cards.get(number="of another") == made
        for found in (
            all_cards.filter(customer=person),
            all_cards.filter(customer__in=[person]),
            all_cards.filter(customer__pk=7),
            all_cards.filter(customer__in=people.filter(pk=7)),
            all_cards.exclude(customer__in=people.exclude(pk=7).values("pk")),
        ):
            assert found.filter(number="of another").count() == 1
        feeding = all_cards.filter(customer__in=people.filter(city=person.city)).delayed().count()
        assert feeding.explain(ask=False).startswith("1 round trip, 2 messages, ")
        assert feeding.compute() > 0
        (loaded,) = people.filter(pk=7).prefetch_related("cards")
        assert made in list(loaded.cards.all())
        (loaded,) = all_cards.filter(number="of another").prefetch_related("customer")
        assert loaded.customer == person
        values = {"name": "gone", "email": "gone@example.org", "joined": datetime.date(2025, 1, 1)}
        gone = people.create(**values)
        # The tables of these services have a row of their own for each key; others would have a plain column.
        row = django_rpc.mirror("shop.Customer", using="sales").objects.create(pk=gone.pk, **values)
        all_cards.filter(pk=made.pk).update(customer=gone)
        assert all_cards.get(pk=made.pk).customer_id == row.pk
        assert gone.delete()[0] == 1
        assert all_cards.filter(pk=made.pk).exists()  # nothing of another service is deleted along
        all_cards.filter(pk=made.pk).update(customer=person)
        row.delete()
        with pytest.raises(FieldError, match=r"no query joins the two. Look up its rows: customer__in=Person.objects"):
            all_cards.filter(customer__city="x")
    finally:
        made.delete()


# What goes wrong


def failing(services):
    """a fails, b waits for it, and c for b."""
    a, b, c = (services[name].objects("Tag") for name in "abc")
    name = a.get(pk=-1).name
    made = b.create(name=name)
    return made, c.filter(name=made.name).count()


@pytest.mark.parametrize("way", ["compute", "await", "submit"])
def test_failing_stage_is_reported_at_once(services, way):
    tags = services["b"].objects("Tag")
    before = tags.count().compute()
    _, last = failing(services)
    started = time.monotonic()
    run = {
        "compute": lambda: last.compute(timeout=20),
        "await": lambda: asyncio.run(_await(last)),
        "submit": lambda: last.submit().result(20),
    }
    with pytest.raises(errors.RpcError) as caught:  # DoesNotExist, of a session without models
        run[way]()
    assert time.monotonic() - started < 5
    assert type(caught.value).__name__ == "DoesNotExist"
    assert caught.value.rpc_node == "Tag.objects.get(pk=-1)"
    assert caught.value.rpc_stage == 1
    assert "in stage 1 of 3, at service 'a'" in caught.value.__notes__
    assert tags.count().compute() == before


def test_deadline_spans_all_stages(services):
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    services["b"].live.worker.pause()
    try:
        started = time.monotonic()
        with pytest.raises(errors.RpcTimeout) as caught:
            b.filter(email__in=emails(a)).count().compute(timeout=1)
        assert 0.9 < time.monotonic() - started < 3
    finally:
        services["b"].live.worker.resume()
    assert "in stage 2 of 2, at service 'b', with values from stage 1 (service 'a')" in (caught.value.__notes__)
    assert b.count().compute() == 2000  # the late message is dropped, and the worker goes on


def test_nothing_is_left_behind(services, redis):
    import redis as redis_package

    client = redis_package.Redis.from_url(redis.url)
    a, b = services["a"].objects("Customer"), services["b"].objects("Customer")
    for key in client.keys("django_rpc:given:*"):
        client.delete(key)
    b.filter(email__in=emails(a)).count().compute()
    deadline = time.monotonic() + 5
    while client.keys("django_rpc:given:*"):  # after the answer
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(errors.RpcError):
        failing(services)[1].compute()
    left = client.keys("django_rpc:given:*")
    assert all(0 < client.ttl(key) <= 700 for key in left)
