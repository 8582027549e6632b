"""Plans of several stages: deadlines, errors, futures, cancelling, values between stages."""

import asyncio
import sys
import threading
import time

import pytest

from django_rpc import errors
from django_rpc.client.futures import PendingCall
from django_rpc.graph.delayed.delayed import Delayed, compute, delayed
from django_rpc.graph.delayed.runner import Runner, resolvers
from django_rpc.graph.errors import NoRunner
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Column, Literal, ModelSource, Opaque
from django_rpc.transport import base
from django_rpc.transport.base import Options


class Reply(base.Reply):
    """An answer that arrives after ``seconds``."""

    def __init__(self, seconds):
        self.at = time.monotonic() + seconds
        self.cancelled = threading.Event()

    def wait(self, timeout):
        late = timeout is not None and time.monotonic() + timeout < self.at
        self.cancelled.wait(timeout if late else max(self.at - time.monotonic(), 0))
        if late:
            raise errors.RpcTimeout("late")
        return b""

    def ready(self):
        return time.monotonic() >= self.at

    def cancel(self):
        self.cancelled.set()
        return True


class Service(Runner):
    """A runner with answers that are functions of the output's text."""

    service = timeout = None

    def __init__(self, name, answer=lambda text: text, timeout=None, seconds=0.0):
        self.service = name
        self.timeout = timeout
        self.answer = answer
        self.seconds = seconds
        self.stages = []
        self.timeouts = []

    def send(self, stage, timeout=None, priority=False):
        self.stages.append(stage)
        self.timeouts.append(timeout)
        texts = [describe(stage.nodes[index]) for index in stage.outputs]
        options = Options(timeout if timeout is not None else self.timeout)

        def settle(answer):
            return [self.answer(text) for text in texts]

        return PendingCall(f"m{len(self.stages)}", Reply(self.seconds), options, settle, lambda error: None)

    def query(self, model="shop.Order"):
        return Delayed(ModelSource(model, self.service, runner=self))


@pytest.fixture
def shop():
    return Service("shop", len)


@pytest.fixture
def stock():
    return Service("stock", lambda text: ["a", "b"])


@delayed
def double(value):
    return value * 2


def line():
    return sys._getframe(1).f_lineno


def test_a_local_function_between_two_queries(shop):
    orders = shop.query()
    doubled = double(orders.count())
    late = orders.filter(total=doubled).first()
    made = late.plan()
    assert [stage.service for stage in made.stages] == ["shop", None, "shop"]
    assert [stage.after for stage in made.stages] == [(), (0,), (1,)]
    assert (made.round_trips, made.rounds) == (2, 2)
    assert compute(late, doubled, 5) == (len("Order.objects.filter(total=42).first()"), 42, 5)
    assert len(shop.stages) == 2


def test_independent_branches_share_messages(shop, stock):
    orders, products = shop.query(), stock.query("stock.Product")
    branches = [orders.filter(total=double(orders.filter(pk=number).count())).count() for number in range(10)]
    made = delayed([*branches, products.count(), double(products.first())])
    assert made.plan().rounds == 2
    made.compute()
    assert (len(shop.stages), len(stock.stages)) == (2, 1)


def test_explain_has_reason_of_each_boundary(shop, stock):
    orders, products = shop.query(), stock.query("stock.Product")
    asked = orders.filter(sku__in=products.values("sku"), total=double(orders.count())).first()
    text = asked.explain()
    assert text.splitlines() == [
        "3 round trips (in 2 rounds), 10 nodes, 1 output.",
        "Stage 1: service 'shop', 2 nodes, reads only (no transaction).",
        "  returns Order.objects.count()",
        "Stage 2: service 'stock', 4 nodes, reads only (no transaction).",
        "  returns Product.objects.values('sku').values_list('sku')",
        "Stage 3: here, in the client, 1 node.",
        "  needs Order.objects.count(), which is at service 'shop' (stage 1)",
        "  calls double(Order.objects.count())",
        "  returns double(Order.objects.count())",
        "Stage 4: service 'shop', 3 nodes, reads only (no transaction).",
        "  needs Product.objects.values('sku'), which is at service 'stock' (stage 2)",
        "  needs double(Order.objects.count()), which runs in the client (stage 3)",
        f"  returns {describe(asked.__rpc_node__(), 100)}",
    ]


def test_the_client_carries_a_query_to_another_service_as_its_column(shop, stock):
    orders, products = shop.query(), stock.query("stock.Product")
    orders.filter(sku__in=products.values("sku")).count().compute()
    [asked] = stock.stages
    column = asked.nodes[asked.outputs[0]]
    assert isinstance(column, Column)
    assert (column.name, column.parent.columns) == ("sku", ("sku",))
    [stage] = shop.stages
    [carried] = [node for node in stage.nodes if isinstance(node, Literal)]
    assert carried.value == ["a", "b"]
    assert orders.filter(product__in=products).plan().stages[0].nodes[-1].name == "pk"


def test_local_function_receives_query_rows(shop):
    finished = Delayed(shop.query().filter(a=1).__rpc_node__(), lambda value: ["row", value])
    assert delayed(lambda rows, more: (rows, more))(finished, {"k": [finished]}).compute() == (
        ["row", 25],
        {"k": [["row", 25]]},
    )
    assert len(shop.stages) == 1
    assert repr(double(finished)) == "<Delayed double(Order.objects.filter(a=1))>"


def test_an_error_of_a_local_function_names_the_node_and_the_line(shop):
    @delayed
    def broken(value):
        raise ZeroDivisionError("mine")

    failing, here = broken(shop.query().count()), line()
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        (double(failing) + 1).compute()
    [note] = caught.value.__notes__
    assert note == f"failed in the client: broken(Order.objects.count())\nwritten at {__file__}:{here}"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(_await(failing))
    with pytest.raises(ZeroDivisionError):
        failing.submit().result(5)
    assert isinstance(failing.submit().exception(5), ZeroDivisionError)


def test_later_stages_do_not_run_after_an_error(shop):
    def refuse(text):
        raise KeyError(text)

    service = Service("shop", refuse)
    orders = service.query()
    with pytest.raises(KeyError):
        orders.filter(total=double(orders.count())).count().compute()
    assert len(service.stages) == 1


def test_unsendable_value_names_its_node(shop):
    strange = delayed(lambda value: object())(1)
    with pytest.raises(TypeError, match="cannot be sent") as caught:
        shop.query().filter(total=strange).count().compute()
    assert "It is the value of <lambda>(1), which the service 'shop' needs." in caught.value.__notes__


def test_deadline_spans_all_stages():
    slow = Service("shop", len, timeout=30, seconds=0.1)
    orders = slow.query()
    plan = orders.filter(total=double(orders.count())).count()
    plan.compute(timeout=5)
    assert 4.9 < slow.timeouts[0] <= 5
    assert 4.5 < slow.timeouts[1] <= 4.9
    with pytest.raises(errors.RpcTimeout):
        plan.compute(timeout=0.15)

    @delayed
    def sleepy(value):
        time.sleep(0.2)
        return value

    sent = len(slow.stages)
    with pytest.raises(errors.RpcTimeout, match="before stage 3"):
        orders.filter(total=sleepy(orders.count())).count().compute(timeout=0.15)
    assert len(slow.stages) == sent + 1
    with pytest.raises(errors.ImproperSettings):
        plan.compute(timeout=-1)


def test_without_a_timeout_the_longest_of_the_settings_counts():
    one, other = Service("one", len, timeout=3), Service("other", len, timeout=10)
    both = one.query("a.One").filter(n=other.query("b.Two").count()).count()
    both.compute()
    assert 2.9 < one.timeouts[0] <= 3
    assert 9.9 < other.timeouts[0] <= 10
    endless = Service("endless", len)
    endless.query("a.B").filter(n=double(endless.query("a.B").count())).count().compute()
    assert endless.timeouts == [None, None]


def test_a_plan_is_submitted(shop):
    orders = shop.query()
    future = orders.filter(total=double(orders.count())).count().submit()
    assert future.result(5) == len("Order.objects.filter(total=42).count()")
    assert future.done()
    assert future.request_id.startswith("plan-")
    assert not future.cancel()
    heard = threading.Event()
    future.add_done_callback(lambda future: heard.set())
    assert heard.wait(5)
    assert double(1).submit().result(5) == 2


def test_a_plan_is_cancelled():
    service = Service("shop", len, seconds=5)
    orders = service.query()
    future = orders.filter(total=double(orders.count())).count().submit()
    while not service.stages:
        time.sleep(0.001)
    with pytest.raises(errors.RpcTimeout, match="has not ended"):
        future.result(0.05)
    assert not future.done()
    assert future.cancel()
    with pytest.raises(errors.CallCancelled):
        future.result(5)
    assert future.cancelled()
    assert len(service.stages) == 1


def test_a_future_of_a_plan_as_an_argument_is_waited_for(shop):
    orders = shop.query()
    calls = []

    @delayed
    def count(value):
        calls.append(value)
        return value

    future = count(orders.count()).submit()
    later = orders.filter(total=future).count()
    assert later.compute() == len("Order.objects.filter(total=21).count()")
    assert double(future).compute() == 42
    assert len(calls) == 1


def test_plans_are_awaited(shop, stock):
    orders, products = shop.query(), stock.query("stock.Product")
    plan = orders.filter(total=double(orders.count()), sku__in=products.values("sku")).count()

    async def main():
        future = plan.submit()
        return await asyncio.gather(_await(plan), _await(future))

    first, second = asyncio.run(main())
    assert first == second


def test_services_are_resolved_before_sending(shop):
    nobody = Delayed(ModelSource("a.B", "nobody"))
    with pytest.raises(NoRunner, match="'nobody'"):
        shop.query().filter(n=double(nobody.count())).count().compute()
    assert not shop.stages


def test_services_are_resolved_by_name(shop, monkeypatch):
    monkeypatch.setattr(
        "django_rpc.graph.delayed.runner.resolvers", [*resolvers, lambda name: shop if name == "shop" else None]
    )
    assert double(Delayed(ModelSource("shop.Order", "shop")).count()).compute() == 42


def test_writes_are_done_once_and_in_order(shop):
    orders = shop.query()
    first = orders.create(total=1)
    second = orders.create(total=double(first))
    third = orders.create(total=3)
    total = delayed(max)(first, second, third, second)
    assert total.compute()
    written = [[describe(node) for node in stage.nodes if node.writes] for stage in shop.stages]
    assert written == [
        ["Order.objects.create(total=1)"],
        [f"Order.objects.create(total={2 * len('Order.objects.create(total=1)')})", "Order.objects.create(total=3)"],
    ]
    assert "2 writes, all in one transaction" in total.explain()


def test_values_of_the_client_alone_send_nothing(shop):
    assert delayed({"a": [1, (2,)]}).compute() == {"a": [1, (2,)]}
    value = object()
    assert delayed(value).compute() is value
    assert isinstance(delayed(value).__rpc_node__(), Opaque)
    assert not shop.stages


def test_a_map_over_a_list_of_the_client(shop):
    rows = delayed(lambda count: list(range(count % 5)))(shop.query().count())
    assert rows.map(lambda n: n * 2).compute() == [0]
    assert delayed([1, 2, 3]).map(lambda n: double(n) + 1).compute() == [3, 5, 7]
    assert delayed([1, 2, 3]).filter_by(lambda n: n > 1).map(lambda n: n).sum().compute() == 5
    nested = delayed([[1, 2], [3]]).map(lambda row: row.map(lambda n: n + 1).sum())
    assert nested.compute() == [5, 4]


async def _await(value):
    return await value
