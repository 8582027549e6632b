"""Functions that a client ships: place, arguments, results, permission, and records."""

from __future__ import annotations

import io
import logging
import sys
import threading

import msgspec
import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from django_rpc import cond, delayed, errors, ship
from django_rpc.client.session import Session
from django_rpc.graph.delayed import runner
from django_rpc.graph.delayed.delayed import Delayed, compute
from django_rpc.graph.nodes import Shipped
from django_rpc.graph.nodes.pickled_function import PYTHON
from django_rpc.server import checks
from django_rpc.server.conf import settings as server_settings
from django_rpc.wire import codec

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

SECRET = "s" * 32
ALLOWED = {"keys": {"k": SECRET}, "cloudpickle": True}
FACTOR = 3


class OutOfStock(Exception):
    safe_message = True


class Stock:
    """A callable of this module. Its class is shipped too."""

    def __init__(self, least):
        self.least = least

    def __call__(self, number):
        return number >= self.least


def helper(number):
    return number * FACTOR


def tripled(number):
    return helper(number)


@pytest.fixture(autouse=True)
def data(shop_data):
    cache.clear()
    return shop_data


@pytest.fixture
def session(settings_of_server, monkeypatch):
    """``session(**options)``: a session of a client with these options at the service; ``session()``: a client that may
    ship.
    """

    def make(**options):
        given = {name: value for name, value in {**ALLOWED, **options}.items() if value is not None}
        settings_of_server(SERVICE="stock", CLIENTS={"shop": given})
        names = {"SERVICE": "stock", "CLIENT": "shop", "KEY": SECRET, "KEY_ID": "k"}
        made = Session({"CELERY": {"task_always_eager": True}, **names})
        monkeypatch.setattr(runner, "resolvers", [lambda service: made if service == made.service else None])
        return made

    return make


def run(session, made):
    return made.compute()


def test_shipped_function_saves_a_round_trip(session, remote):
    client, products = session(), remote.Product.objects.delayed()

    def above(price):
        return price * 2

    least = products.aggregate(least=_min("price"))["least"]
    here = products.filter(price__gt=delayed(above)(least)).count()
    there = products.filter(price__gt=ship(above, reads_only=True)(least)).count()
    assert run(client, there) == run(client, here)
    assert (here.plan().round_trips, there.plan().round_trips) == (2, 1)
    assert "runs in the client" in here.explain(ask=False)
    text = there.explain(ask=False)
    size = len(next(node for node in there.plan().stages[0].nodes if isinstance(node, Shipped)).code)
    assert text.startswith("1 round trip, ")
    assert (
        f"  ships above(Product.objects.aggregate(least=Min('price'))['least']): {size} bytes of code go along" in text
    )
    assert "no round trip stands around it" in text


def _min(name):
    from django.db.models import Min

    return Min(name)


def test_shipped_function_arguments_and_result(session, remote, local):
    client = session()

    @ship(reads_only=True)
    def look(products, tag, more):
        return [type(products).__module__, tag.name, list(products.values_list("pk", flat=True)), more]

    tag = remote.Tag.objects.delayed().get(pk=1)
    kind, name, keys, more = run(client, look(remote.Product.objects.filter(pk__lt=3), tag, more={"a": [1]}))
    assert kind.startswith("django.db.models")
    assert (name, keys, more) == (local.Tag.objects.get(pk=1).name, [1, 2], {"a": [1]})
    first = ship(lambda customers: customers.first(), reads_only=True)(remote.Customer.objects.order_by("pk"))
    assert "secret_note" not in run(client, first).fields


@pytest.mark.parametrize(
    ("call", "given", "value"),
    [(tripled, 5, 15), (Stock(2), 3, True), (len, "abc", 3), (lambda x: x + FACTOR, 1, 4)],
    ids=["its module's helpers", "an object", "a builtin", "a lambda"],
)
def test_shipped_function_includes_module_globals(session, call, given, value, monkeypatch):
    node = ship(call, reads_only=True)(given).__rpc_node__()
    # As at a service, which does not have this module.
    monkeypatch.delitem(sys.modules, __name__)
    assert run(session(), Delayed(node)) == value


def test_it_runs_for_each_element_of_a_map_and_is_made_once(session, remote, monkeypatch):
    from django_rpc.server import pickled_functions as shipped

    loads = []
    real = shipped.load
    monkeypatch.setattr(shipped, "load", lambda *args: loads.append(args) or real(*args))
    stars = ship(lambda name: f"*{name}*", reads_only=True)
    named = remote.Tag.objects.order_by("pk").delayed().map(lambda tag: cond(tag.pk < 3, stars(tag.name), ""))
    values = run(session(), named)
    assert values[0].startswith("*")
    assert not values[-1]
    assert len(loads) == 1


def test_writes_of_shipped_function_are_in_transaction(session, remote, local):
    def rename(tag):
        tag.name = "by a shipped function"
        tag.save()
        return tag

    def fail(tag):
        raise OutOfStock(f"no {tag.name}")

    client, tag = session(), remote.Tag.objects.delayed().get(pk=1)
    renamed = ship(rename)(tag)
    broken = ship(fail)(renamed)
    with pytest.raises(errors.RemoteError) as caught:
        run(client, broken)
    assert (type(caught.value).__name__, str(caught.value)) == ("OutOfStock", "no by a shipped function")
    assert caught.value.rpc_node == "fail(rename(Tag.objects.get(pk=1)))"
    assert local.Tag.objects.get(pk=1).name != "by a shipped function"
    assert run(client, renamed.name) == "by a shipped function"
    assert local.Tag.objects.get(pk=1).name == "by a shipped function"


def test_reads_that_are_equal_run_once_and_writes_each_time(session):
    session()
    made = ship(lambda: object.__hash__(object()), reads_only=True)
    one, other = compute(made(), made())
    assert one == other
    assert len(made().plan().stages[0].nodes) == 1
    both = Delayed(delayed([ship(len)("a"), ship(len)("a")]).__rpc_node__())
    assert sum(isinstance(node, Shipped) for node in both.plan().stages[0].nodes) == 2


def test_other_python_is_refused(session):
    node = ship(len)("abc").__rpc_node__()
    other = msgspec.structs.replace(node, python="3.7")
    with pytest.raises(errors.ShippingFailed) as caught:
        run(session(), Delayed(other))
    assert str(caught.value).startswith(f"len() was shipped by Python 3.7, and this service runs Python {PYTHON}, ")


def test_missing_module_is_reported(session):
    code = b"cno_such_module\nf\n."
    with pytest.raises(errors.ShippingFailed) as caught:
        run(session(), Delayed(Shipped("rpc", "f", reads_only=True, python=PYTHON, code=code)))
    assert "f() cannot be made at this service (ModuleNotFoundError: No module named 'no_such_module')" in str(
        caught.value
    )


def test_shipping_of_non_function_is_refused():
    with pytest.raises(TypeError, match="'rpc' is no function"):
        ship("rpc")
    with pytest.raises(TypeError, match="cannot be shipped, since it cannot be pickled"):
        ship(threading.Lock().acquire)()


def test_the_bytes_of_all_are_limited(session):
    client = session(limits={"code_bytes": 3_000})
    large = "x" * 1_500
    make = ship(lambda: len(large), reads_only=True)
    assert run(client, make()) == 1_500
    with pytest.raises(errors.MessageTooLarge, match=r"at most 3,000 are allowed \(limit 'code_bytes'\)"):
        run(client, delayed([make(), ship(lambda: len(large) + 1, reads_only=True)()]))


def test_shipping_is_off_by_default(session, remote):
    for options in ({"cloudpickle": False}, {"cloudpickle": None}):
        with pytest.raises(errors.PermissionDenied, match="This client may not ship functions to this service"):
            run(session(**options), ship(len)("abc"))
    explained = ship(len)("abc").explain()
    assert "refused: len('abc'): PermissionDenied: This client may not ship functions to this service." in explained


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ({"anonymous": {"cloudpickle": True}}, "Give the client a name and a key"),
        ({"shop": {"keys": {"k": SECRET}, "cloudpickle": "yes"}}, "is True or False; it is 'yes'"),
        ({"shop": {"keys": {"k": SECRET}, "cloud_pickle": True}}, "did you mean 'cloudpickle'"),
    ],
)
def test_mistakes_in_settings_raise(settings_of_server, clients, said):
    settings_of_server(SERVICE="stock", CLIENTS=clients)
    with pytest.raises(ImproperlyConfigured, match=said):
        server_settings.clients  # noqa: B018 - a property that reads
    assert [found.id for found in checks.check_clients()] == ["django_rpc.E020"]


def test_a_service_where_a_client_may_is_warned_of(session):
    session()
    (warning,) = [found for found in checks.check_clients() if found.id == "django_rpc.W024"]
    assert "lets 'shop' ship functions" in warning.msg
    assert "@site.function" in warning.hint
    session(cloudpickle=False)
    assert "django_rpc.W024" not in [found.id for found in checks.check_clients()]


def test_the_policy_shows_it(session):
    session()
    out = io.StringIO()
    call_command("rpc_policy", "shop", stdout=out)
    assert "cloudpickle: ships functions of its own" in out.getvalue()
    session(cloudpickle=False)
    out = io.StringIO()
    call_command("rpc_policy", "shop", stdout=out)
    assert "cloudpickle" not in out.getvalue()


def test_ping_reports_shipping(session):
    from django_rpc.client.ping import ping

    assert ping(session(), 1).ships
    assert not ping(session(cloudpickle=False), 1).ships


def test_the_audit_log_names_it_also_where_it_reads(session, caplog):
    client = session()
    with caplog.at_level(logging.INFO, "django_rpc.audit"):
        run(client, ship(len, reads_only=True)("abc"))
        run(client, ship(max)([1, 2]))
    reading, writing = [record for record in caplog.records if record.name == "django_rpc.audit"]
    (shipped,) = reading.rpc_shipped
    assert shipped.startswith("len() sha256:")
    assert (reading.rpc_client, reading.rpc_writes) == ("shop", [])
    assert f"done: shipped {shipped} of shop" in reading.getMessage()
    assert (writing.rpc_writes, len(writing.rpc_shipped)) == (["max()"], 1)


def test_its_code_crosses_as_it_is():
    node = ship(tripled)(1).__rpc_node__()
    from django_rpc.wire.messages import Request

    data = codec.encode_request(Request(id="r", nodes=(node,), outputs=(0,)))
    (back,) = codec.decode_request(data).nodes
    assert (back.code, back.python, back.name, back.args, back.service) == (node.code, PYTHON, "tripled", (1,), "")
