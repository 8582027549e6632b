"""The table of a query in a notebook: one bounded message, and never an error of the table itself."""

import pytest

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_table_is_one_message(remote, shop_data, messages):
    with messages() as sent:
        shown = remote.Customer.objects.order_by("id")._repr_mimebundle_()
    assert len(sent) == 1
    assert "[:21]" in sent[0]["sql"]
    table = shown["text/html"]
    for name in ("id", "email", "referred_by_id"):
        assert f">{name}</th>" in table
    assert table.count("<tr>") == 21
    assert "the first 20 rows; there are more" in table
    lines = shown["text/plain"].splitlines()
    assert lines[0] == "Customer.objects.order_by('id')"
    assert lines[1].split()[:3] == ["id", "name", "email"]
    assert len(lines) == 23


def test_loaded_rows_are_not_requested_again(remote, shop_data, messages):
    rows = remote.Customer.objects.filter(pk__lt=4)
    list(rows)
    with messages() as sent:
        shown = rows._repr_mimebundle_()
    assert not sent
    assert shown["text/html"].count("<tr>") == 4
    assert "more" not in shown["text/html"]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda o: o.values("number", "customer__name"), ["number", "customer__name"]),
        (lambda o: o.values_list("number", "total"), ["number", "total"]),
        (lambda o: o.values_list("number", flat=True), ["number"]),
        (lambda o: o.values_list("number", named=True), ["number"]),
        (lambda o: o.only("number"), ["id", "number"]),
        (lambda o: o.none(), ["id", "customer_id", "number", "status", "created", "total"]),
        (lambda o: o.filter(pk=-1).values("total"), ["total"]),
        (lambda o: o.future().filter(pk=1), ["id", "customer_id", "number", "status", "created", "total"]),
        (lambda o: o.order_by("id")[5:8], ["id", "customer_id", "number", "status", "created", "total"]),
        (lambda o: o.dates("created", "year"), ["datefield"]),
    ],
)
def test_the_columns_are_those_of_the_rows(remote, shop_data, messages, make, names):
    with messages() as sent:
        shown = make(remote.Order.objects.all())._repr_mimebundle_()
    assert len(sent) <= 1
    assert [cell.rpartition(">")[2] for cell in shown["text/html"].split("</th>")[:-1]] == names


def test_annotations_are_columns(remote, shop_data):
    from django.db.models import Count

    shown = remote.Customer.objects.annotate(n=Count("orders"))._repr_mimebundle_()
    assert ">n</th>" in shown["text/html"]


def test_text_of_rows_is_only_text(remote, shop_data):
    remote.Customer.objects.filter(pk=1).update(name="<b>&", notes="x" * 500)
    shown = remote.Customer.objects.filter(pk=1)._repr_mimebundle_()
    assert "&lt;b&gt;&amp;" in shown["text/html"]
    assert "<b>" not in shown["text/html"]
    assert "x" * 100 not in shown["text/html"]


def test_table_of_failing_query_is_text(remote, shop_data):
    remote.Customer.objects.filter(pk=1).update(name="x")
    query = remote.OrderCard.objects.using("rpc")
    query.query.node = type(query.query.node)("shop.Nothing", "rpc")
    shown = query._repr_mimebundle_()
    assert set(shown) == {"text/plain"}
    assert "without rows" in shown["text/plain"]
    assert "Nothing" in shown["text/plain"]


def test_the_failed_node_of_a_service_is_red(remote, shop_data):
    import django_rpc

    wrong = remote.Customer.objects.delayed().filter(nmae="Ada").count()
    with pytest.raises(Exception, match="nmae") as caught:
        wrong.compute()
    text = django_rpc.visualize_error(caught.value, format="dot").data.decode()
    (red,) = [line for line in text.splitlines() if "#f8c9c9" in line]
    assert "filter(nmae='Ada')" in red
    assert "wrong = remote.Customer.objects" in red
