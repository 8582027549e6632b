"""``django_rpc.atomic()``: the writes of mirrors in a block are one message, and all of them are done, or none."""

# ruff: noqa: PT012 - the exceptions leave whole blocks

from __future__ import annotations

import copy
import datetime
import zoneinfo
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError, connections
from django.db.models import Count, F
from django.db.transaction import TransactionManagementError
from django.utils import timezone

import django_rpc
from django_rpc.errors import RpcError
from django_rpc.models.atomic import NotSentYet
from tests.models.block_parts import Left, customer

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_block_is_one_message_and_sets_keys(local, remote, shop_data, messages):
    with messages() as sent:
        with django_rpc.atomic("rpc") as block:
            ada = customer(remote)
            ada.save()
            order = remote.Order.objects.create(customer=ada, total=5)
            line = remote.Line(order=order, product_id=1, quantity=2)
            line.save()
            assert len(sent) == 0
            assert len(block) == 3
        assert len(sent) == 1
        assert (order.customer, line.order) == (ada, order)  # cached as they were given
        assert len(sent) == 1
    row = local.Line.objects.get(order__customer__email="Ada@example.org")
    assert (row.pk, row.order_id, row.order.customer_id) == (line.pk, order.pk, ada.pk)
    assert (line.order_id, order.customer_id) == (order.pk, ada.pk)
    assert type(ada.pk) is type(order.customer_id) is int
    assert order.number == row.order.number != ""  # the service's save() filled it
    assert not ada._state.adding
    assert ada._state.db == "rpc"


def test_writes_are_in_order_in_transaction(local, remote, shop_data, messages):
    product = remote.Product.objects.get(pk=1)
    price = product.price
    with messages() as sent, django_rpc.atomic("rpc"):
        changed = remote.Product.objects.filter(pk=1).update(price=F("price") + 1)
        remote.Product.objects.filter(pk=1).update(price=F("price") * 2)
        tag = remote.Tag.objects.create(name="fresh")
        product.tags.set([tag])
        gone = remote.Tag.objects.exclude(name="fresh").filter(products=None).delete()
    assert len(sent) == 1
    assert local.Product.objects.get(pk=1).price == (price + 1) * 2
    assert [one.name for one in local.Product.objects.get(pk=1).tags.all()] == ["fresh"]
    assert changed == 1
    assert changed.result() == 1
    assert isinstance(gone.result(), tuple)
    count, by_label = gone
    assert count == sum(by_label.values())


def test_set_of_a_reverse_foreign_key_where_the_block_makes_the_parent_and_the_rows(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        bob = customer(remote, "Bob")
        bob.referred_by = ada
        bob.save()
        ada.referrals.set([ada])
    assert len(sent) == 1
    assert ada.referred_by_id == ada.pk
    assert list(local.Customer.objects.filter(referred_by=ada.pk).values_list("pk", flat=True)) == [ada.pk]


def test_left_by_an_exception_it_sends_nothing(local, remote, shop_data, messages):
    loaded = remote.Customer.objects.get(pk=2)
    ada, order = customer(remote), remote.Order(total=5)
    with messages() as sent, pytest.raises(Left), django_rpc.atomic("rpc"):
        ada.save()
        order.customer = ada
        order.save()
        ada.name = "Other"
        ada.save()
        loaded.delete()
        raise Left
    assert len(sent) == 0
    assert (ada.pk, ada._state.adding, ada._state.db, ada.name) == (None, True, None, "Other")
    assert (order.pk, order.customer_id, order.customer) == (None, None, ada)
    assert loaded.pk == 2
    assert not loaded._state.adding
    ada.save()
    order.save()  # as of any parent that was saved after it was assigned
    assert local.Order.objects.get(pk=order.pk).customer_id == ada.pk


def test_an_error_rolls_all_back_and_names_the_operation(local, remote, shop_data):
    taken = remote.Customer.objects.get(pk=1).email
    ada, second = customer(remote), customer(remote, "Second", email=taken)
    orders = local.Order.objects.count()
    with pytest.raises(IntegrityError) as caught, django_rpc.atomic("rpc"):
        ada.save()
        remote.Order.objects.create(customer=ada, total=1)
        second.save()  # the line that is named
        remote.Tag.objects.create(name="after")
    assert "Customer.save(" in caught.value.__notes__[0]
    assert "Second" in caught.value.__notes__[0]
    lines = Path(__file__).read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("# the line that is named"))
    assert f"{__file__}:{line}" in "".join(caught.value.__notes__)
    assert not local.Customer.objects.filter(email="Ada@example.org").exists()
    assert local.Order.objects.count() == orders
    assert not local.Tag.objects.filter(name="after").exists()
    assert (ada.pk, ada._state.adding) == (None, True)
    second.email = "second@example.org"
    with django_rpc.atomic("rpc"):  # the same instances, again
        ada.save()
        second.save()
    assert local.Customer.objects.filter(pk__in=[ada.pk, second.pk]).count() == 2


def test_pending_key_is_a_value(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        assert ada.pk is not None
        assert ada.pk != 1
        assert "known when the block has ended" in repr(ada.pk)
        order = remote.Order.objects.create(customer_id=ada.pk, total=1)
        remote.Line.objects.create(order_id=order.id, product_id=1)
        later = remote.Order(customer=ada, total=2)
        remote.Customer.objects.filter(pk=ada.pk).update(city="Rome")
        remote.Order.objects.filter(customer=ada).update(total=F("total") + 1)
        referred = customer(remote, "Ref", referred_by=ada)
        referred.save()
        assert copy.deepcopy(ada.pk) is ada.pk
    assert len(sent) == 1
    row = local.Customer.objects.get(pk=ada.pk)
    assert (row.city, row.orders.get().total, row.orders.get().lines.count()) == ("Rome", 2, 1)
    assert local.Customer.objects.get(pk=referred.pk).referred_by_id == ada.pk
    assert later.customer_id == ada.pk  # it was not saved, and holds the key nevertheless
    later.save()
    assert type(later.customer_id) is int
    assert local.Order.objects.get(pk=later.pk).customer_id == ada.pk


def test_query_of_block_after_its_end(local, remote, shop_data, messages):
    with django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        orders = remote.Order.objects.filter(customer=ada)
        by_key = remote.Order.objects.filter(customer_id=ada.pk)
        total = remote.Order.objects.delayed().filter(customer=ada.pk).count()
        remote.Order.objects.create(customer=ada, total=1)
    before = local.Customer.objects.count()
    with messages() as sent:
        assert (orders.get().total, by_key.count(), total.compute()) == (1, 1, 1)
    assert len(sent) == 3
    assert local.Customer.objects.count() == before  # and it was not made again


def test_save_again_and_delete_again(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        ada.city = "Rome"
        ada.save()
        ada.credit = F("credit") + 3
        ada.save(update_fields=["credit"])
        short = customer(remote, "Short")
        short.save()
        short.delete()
        assert short.pk is None
    assert len(sent) == 1
    assert local.Customer.objects.values_list("city", "credit").get(pk=ada.pk) == ("Rome", Decimal(3))
    assert not local.Customer.objects.filter(name="Short").exists()
    assert short.pk is None


def test_second_save_keeps_generated_values(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        order = remote.Order.objects.create(customer_id=1, total=1)  # the service gives it a number
        remote.Order.objects.filter(pk=order.pk).update(status="paid")  # overwritten, as in Django
        order.total = 2
        order.save()
        other = remote.Order.objects.create(customer_id=1, total=1)
        other.number = "mine"
        other.save()
        third = remote.Order.objects.create(customer_id=1, total=1)
        third.number = "not saved"
    assert len(sent) == 1
    row = local.Order.objects.get(pk=order.pk)
    assert (row.number, row.total, row.status) == (order.number, 2, "new")
    assert row.number != ""
    assert (local.Order.objects.get(pk=other.pk).number, other.number) == ("mine", "mine")
    assert third.number == "not saved"
    assert local.Order.objects.get(pk=third.pk).number not in ("", "not saved")


def test_a_copy_of_an_instance_of_the_block_can_be_saved_after_it(local, remote, shop_data, messages):
    with django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        twin = copy.copy(ada)
    count = local.Customer.objects.count()
    twin.city = "Rome"
    with messages() as sent:
        twin.save()
    assert len(sent) == 1
    assert local.Customer.objects.count() == count
    assert (local.Customer.objects.get(pk=ada.pk).city, twin.pk) == ("Rome", ada.pk)
    assert "collected" not in vars(ada._state)


def test_a_row_that_is_gone_does_not_fail_the_block(local, remote, shop_data):
    tag = remote.Tag.objects.create(name="going")
    local.Tag.objects.filter(name="going").delete()
    with django_rpc.atomic("rpc"):
        deleted = tag.delete()
        remote.Tag.objects.create(name="kept")
    assert deleted[0] == 0
    assert local.Tag.objects.filter(name="kept").exists()


def test_bulk_create(local, remote, shop_data, messages):
    tags = [remote.Tag(name="a"), remote.Tag(pk=900, name="b"), remote.Tag(name="c")]
    with messages() as sent, django_rpc.atomic("rpc"):
        remote.Tag.objects.bulk_create(tags)
        remote.Product.objects.get(pk=1)
    assert len(sent) == 2  # the read, and the block
    with messages() as sent, django_rpc.atomic("rpc"):
        new = remote.Tag.objects.bulk_create([remote.Tag(name="d")])
        remote.Product(pk=1).tags.add(new[0])
        remote.Tag.objects.bulk_update([remote.Tag(pk=900, name="bb")], ["name"])
    assert len(sent) == 1
    assert {tag.name: tag.pk for tag in [*tags, *new]} == {
        **dict(local.Tag.objects.filter(name__in="acd").values_list("name", "pk")),
        "b": 900,
    }
    assert local.Tag.objects.get(pk=900).name == "bb"
    assert local.Product.objects.get(pk=1).tags.filter(name="d").exists()


def test_bulk_create_is_atomic(local, remote, shop_data, messages):
    tags = [remote.Tag(pk=900, name="a"), remote.Tag(name="b")]
    with messages() as sent:
        remote.Tag.objects.bulk_create([*tags, remote.Tag(name="c")], batch_size=1)
    assert len(sent) == 1
    again = [remote.Tag(pk=901, name="x"), remote.Tag(name="b")]
    with pytest.raises(IntegrityError):
        remote.Tag.objects.bulk_create(again)
    assert not local.Tag.objects.filter(name="x").exists()
    assert [(tag.pk, tag._state.adding) for tag in again] == [(901, True), (None, True)]


def test_many_to_many_of_unsaved_instance(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        category = remote.Category.objects.create(title="New")
        product = remote.Product.objects.create(sku="NEW-1", title="New", price=1, category=category)
        tag = remote.Tag.objects.create(name="fresh")
        product.tags.add(tag, remote.Tag(pk=1))
        product.tags.remove(1)
    assert len(sent) == 1
    assert [one.pk for one in local.Product.objects.get(sku="NEW-1").tags.all()] == [tag.pk]


def test_the_reverse_manager(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        order = ada.orders.create(total=3)
        order.lines.create(product_id=1)
    assert len(sent) == 1
    assert local.Customer.objects.get(pk=ada.pk).orders.get().lines.count() == 1


# Reads


def test_a_read_that_nothing_collected_changes_is_answered(remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        first = remote.Customer.objects.get(pk=1)
        remote.Order.objects.create(customer=first, total=1)
        assert remote.Product.objects.filter(category__title__contains="").exists()
        assert remote.Customer.objects.count() == 40
    assert len(sent) == 4


def reads(remote, ada):
    yield lambda: remote.Order.objects.count()
    yield lambda: list(remote.Order.objects.filter(total__gt=1))
    yield lambda: remote.Customer.objects.filter(orders__total=1).count()
    yield lambda: remote.Customer.objects.annotate(n=Count("orders")).first()
    yield lambda: list(remote.Customer.objects.prefetch_related("orders"))
    yield lambda: remote.Line.objects.select_related("order").first()
    yield lambda: remote.Customer.objects.order_by("orders__total").first()
    yield lambda: remote.Customer.objects.filter(pk__in=remote.Order.objects.values("customer")).first()
    yield lambda: remote.Customer.objects.delayed().first().orders.count().compute()
    yield lambda: remote.Customer.objects.get(pk=1).orders.first()
    yield lambda: remote.Customer.objects.filter(referred_by=ada).exists()
    yield lambda: ada.referrals.count()
    yield lambda: ada.refresh_from_db()
    yield lambda: remote.Customer.objects.future().count()
    yield lambda: connections["rpc"].cursor().gather(remote.Order.objects.all())
    yield lambda: remote.Order.objects.filter(pk=1).explain()


@pytest.mark.parametrize("number", range(16))
def test_read_of_collected_rows_is_refused(number, local, remote, shop_data, messages):
    with messages() as sent, pytest.raises(NotSentYet) as caught, django_rpc.atomic("rpc"):
        ada = customer(remote)
        ada.save()
        remote.Order.objects.create(customer=ada, total=1)
        list(reads(remote, ada))[number]()
    assert isinstance(caught.value, TransactionManagementError)
    assert isinstance(caught.value, RpcError)
    assert not any("save(" in query["sql"] for query in sent.captured_queries)
    assert not local.Customer.objects.filter(name="Ada").exists()


def test_read_of_cascaded_models_is_refused(remote, shop_data):
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc"):
        remote.Customer.objects.filter(pk=1).delete()
        remote.Line.objects.count()
    with django_rpc.atomic("rpc"):
        remote.Tag.objects.filter(name="none").delete()
        assert remote.Customer.objects.count()
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc"):
        remote.Tag.objects.filter(name="none").delete()
        remote.Product.objects.filter(tags=1).count()


@pytest.mark.parametrize(
    "use", [bool, int, list, lambda found: found == 1, lambda found: found[0], lambda found: found.result()]
)
def test_result_in_block_is_refused(use, local, remote, shop_data):
    with pytest.raises(NotSentYet, match="not known yet"), django_rpc.atomic("rpc"):
        use(remote.Tag.objects.filter(pk=1).update(name="changed"))
    assert not local.Tag.objects.filter(name="changed").exists()


def test_get_or_create_answers_after_the_block(local, remote, shop_data):
    with django_rpc.atomic("rpc"):
        made = remote.Tag.objects.get_or_create(name="fresh")
        again = remote.Tag.objects.update_or_create(name="fresh", defaults={"name": "fresher"})
    tag, created = made
    assert (created, again.result()[1]) == (True, False)
    assert local.Tag.objects.get(pk=tag.pk).name == "fresher"
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc"):
        tag, created = remote.Tag.objects.get_or_create(name="other")
    assert not local.Tag.objects.filter(name="other").exists()


def test_write_with_immediate_result_is_refused(local, remote, shop_data):
    create = remote.Tag.objects.delayed().create(name="fresh")
    for ask in (create.compute, create.submit, lambda: django_rpc.compute(create), create.profile):
        with pytest.raises(NotSentYet, match=r"add\(\)"), django_rpc.atomic("rpc"):
            ask()
    assert not local.Tag.objects.filter(name="fresh").exists()


def test_delayed_values_and_add(local, remote, shop_data, messages):
    """A read within the block's message sees the earlier writes."""
    with messages() as sent, django_rpc.atomic("rpc") as block:
        first = remote.Customer.objects.delayed().order_by("pk").first()
        order = remote.Order.objects.create(customer=first, total=7)
        line = block.add(remote.Line.objects.delayed().create(order=order, product_id=1, quantity=4))
        count = block.add(remote.Order.objects.delayed().filter(total=7).count())
        lines = block.add(remote.Line.objects.filter(order=order))
        total = block.add(remote.Line.objects.delayed().get(order=order).quantity * 2)
        remote.Order.objects.filter(pk=order.pk).update(total=total)
        with pytest.raises(TypeError, match="add\\(\\) takes"):
            block.add(1)
    assert len(sent) == 1
    assert local.Order.objects.get(pk=order.pk).customer_id == local.Customer.objects.order_by("pk").first().pk
    assert (count.result(), [one.pk for one in lines], line.result().quantity) == (1, [line.result().pk], 4)
    assert local.Order.objects.get(pk=order.pk).total == 8


def test_local_function_in_block_is_refused(local, remote, shop_data):
    with pytest.raises(NotSentYet, match="cannot be one message"), django_rpc.atomic("rpc"):
        updated = remote.Tag.objects.filter(pk=1).update(name="changed")
        remote.Customer.objects.filter(pk=1).update(credit=django_rpc.delayed(lambda n: n * 100)(updated))
    assert not local.Tag.objects.filter(name="changed").exists()


def order_on_new_year(local):
    """Return an order of the last evening of a year in UTC, which is the next year in India."""
    moment = datetime.datetime(2024, 12, 31, 20, tzinfo=datetime.UTC)
    return local.Order.objects.create(customer_id=1, number="new year", created=moment)


def test_a_block_is_in_the_zone_of_its_writes(local, remote, shop_data):
    order = order_on_new_year(local)
    with django_rpc.atomic("rpc"), timezone.override(zoneinfo.ZoneInfo("Asia/Kolkata")):
        remote.Order.objects.filter(pk=order.pk, created__year=2025).update(total=77)
        remote.Order.objects.filter(pk=order.pk, created__year=2024).update(total=88)
    order.refresh_from_db()
    assert order.total == 77


def test_a_write_in_another_zone_is_refused(local, remote, shop_data):
    order = order_on_new_year(local)
    new_year = remote.Order.objects.filter(pk=order.pk, created__year=2025)
    with (
        pytest.raises(NotSentYet, match="has collected operations in the time zone 'Asia/Kolkata'"),
        django_rpc.atomic("rpc"),
    ):
        with timezone.override(zoneinfo.ZoneInfo("Asia/Kolkata")):
            new_year.update(total=77)
        new_year.update(total=88)
    order.refresh_from_db()
    assert order.total == 0


def test_a_block_without_steps_takes_the_next_zone(local, remote, shop_data):
    order = order_on_new_year(local)
    new_year = remote.Order.objects.filter(pk=order.pk, created__year=2025)
    with django_rpc.atomic("rpc"):
        with pytest.raises(ZeroDivisionError), django_rpc.atomic("rpc"):
            new_year.update(total=1)
            raise ZeroDivisionError
        with timezone.override(zoneinfo.ZoneInfo("Asia/Kolkata")):
            new_year.update(total=77)
    order.refresh_from_db()
    assert order.total == 77
