"""``d.profile()``: the value, and the cost of each node as the service measured it."""

import pytest

from django_rpc import delayed
from django_rpc.client.hooks import MessageListener

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def by_text(profile):
    return {cost.text: cost for cost in profile.nodes}


def test_statement_belongs_to_its_node(remote, shop_data):
    profile = remote.Order.objects.delayed().filter(pk__gt=1).count().profile()
    assert profile.result == 79
    (cost,) = [cost for cost in profile.nodes if cost.statements]
    assert cost.text == "Order.objects.filter(pk__gt=1).count()"
    assert cost.service == "rpc"
    assert cost.times == 1
    [(sql, seconds)] = cost.sql
    assert sql.startswith("SELECT COUNT(*)")
    assert 0 <= seconds <= cost.seconds <= profile.messages[0] <= profile.seconds


def test_rows_are_counted_at_their_node(remote, shop_data):
    orders = remote.Order.objects.delayed().filter(pk__lte=30)
    profile = orders.profile()
    assert [type(one).__name__ for one in profile.result] == ["Order"] * 30
    assert by_text(profile)["Order.objects.filter(pk__lte=30)"].rows == 30
    assert by_text(remote.Order.objects.delayed().first().profile())["Order.objects.first()"].rows == 1


def test_a_map_counts_its_elements(remote, shop_data):
    customers = remote.Customer.objects.delayed().order_by("id")
    profile = customers.map(lambda c: remote.Order.objects.filter(customer=c).count()).profile()
    assert len(profile.result) == 40
    assert profile.statements == 2
    body = by_text(profile)["Order.objects.filter(customer=row).count()"]
    assert (body.times, body.statements) == (40, 1)
    mapped = next(cost for text, cost in by_text(profile).items() if ".map(" in text)
    assert (mapped.rows, mapped.statements) == (40, 1)


def test_batched_gets_are_statement_of_first_node(remote, shop_data):
    names = [remote.Customer.objects.delayed().get(pk=number).name for number in range(1, 11)]
    profile = delayed(list)(names).profile()
    assert profile.statements == 1
    (cost,) = [cost for cost in profile.nodes if cost.statements]
    assert cost.text == "Customer.objects.get(pk=1)"


def test_writes_and_local_functions_are_there(remote, shop_data):
    @delayed
    def half(number):
        return number // 2

    customer = remote.Customer.objects.delayed().first()
    made = remote.Order.objects.delayed().create(customer=customer, total=half(remote.Order.objects.delayed().count()))
    profile = made.number.profile()
    assert remote.Order.objects.get(number=profile.result).total == 40
    costs = by_text(profile)
    assert costs["half(Order.objects.count())"].service is None
    create = next(cost for text, cost in costs.items() if text.endswith(")") and ".create(" in text)
    assert create.stage == 2
    assert create.statements >= 2  # the order, and the audit of the shop
    assert any(sql.startswith("INSERT") for sql, _ in create.sql)
    assert len(profile.messages) == 2


def test_without_show_sql_there_are_figures_and_no_text(remote, shop_data, settings):
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "SHOW_SQL": False}
    profile = remote.Order.objects.delayed().count().profile()
    assert profile.statements == 1
    assert all(cost.sql == () for cost in profile.nodes)
    assert "SELECT" not in str(profile)


def test_the_table_the_picture_and_the_notebook(remote, shop_data, tmp_path):
    profile = remote.Order.objects.delayed().filter(pk__gt=1).count().profile()
    assert "1 round trip" in str(profile)
    assert "1 SQL statement" in str(profile)
    assert "SELECT COUNT(*)" in repr(profile)
    assert "SELECT" not in profile.table(sql=False)
    text = profile.visualize(format="dot").data.decode()
    assert " ms, 1 SQL" in text
    assert profile.visualize(tmp_path / "p.png").data.startswith(b"\x89PNG")
    shown = profile._repr_mimebundle_()
    assert "<svg" in shown["text/html"]
    assert "&quot;" in shown["text/html"]


def test_profile_of_failing_graph_raises_its_error(remote, shop_data):
    with pytest.raises(remote.Customer.DoesNotExist):
        remote.Customer.objects.delayed().get(pk=-1).profile()


def test_relation_named_profile(remote, shop_data):
    import pickle

    customer = remote.Customer.objects.delayed().filter(profile__isnull=False).first()
    assert customer.profile.bio.compute() == remote.Customer.objects.filter(profile__isnull=False).first().profile.bio
    assert customer.profile.compute().customer_id == customer.pk.compute()
    assert pickle.loads(pickle.dumps(customer.profile)).__rpc_node__().name == "profile"


def test_an_ordinary_call_carries_no_costs(remote, shop_data, messages):
    from django_rpc.client.session import Session

    heard = []
    session: Session = remote.Order.objects.all()._session
    listener = MessageListener(heard.append)
    session.hooks.append(listener)
    try:
        remote.Order.objects.count()
    finally:
        session.hooks.remove(listener)
    assert "asking" not in heard[0].text
