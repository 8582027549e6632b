"""Writes through mirrors: the rows of the service's tables afterwards, and the number of messages."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import IntegrityError
from django.db.models import Count, F, ProtectedError, Value
from django.db.models.functions import Concat, Upper
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def customer(remote, **values):
    given = {"name": "New", "email": "new@example.org", "city": "Oslo", "joined": dt.date(2025, 1, 1), **values}
    return remote.Customer(**given)


def test_create(local, remote, shop_data, messages):
    with messages() as sent:
        made = remote.Customer.objects.create(
            name="Ada", email="ada@example.org", city="London", joined=dt.date(2025, 2, 3), credit="12.50"
        )
    assert len(sent) == 1
    row = local.Customer.objects.get(email="ada@example.org")
    assert made.pk == row.pk
    assert not made._state.adding
    assert made._state.db == "rpc"
    assert (row.name, row.credit, row.tier) == ("Ada", Decimal("12.50"), "basic")


def test_save_runs_server_save_and_returns_changed_fields(local, remote, shop_data, messages):
    order = remote.Order(customer=remote.Customer.objects.get(pk=1), total=5)
    with messages() as sent:
        order.save()
    assert len(sent) == 1
    row = local.Order.objects.get(pk=order.pk)
    assert order.number == row.number != ""
    assert local.AuditEntry.objects.filter(model__icontains="order", object_pk=str(order.pk)).exists()


def test_save_of_a_loaded_instance_updates(local, remote, shop_data, messages):
    local.Customer.objects.filter(pk=2).update(secret_note="kept")
    found = remote.Customer.objects.get(pk=2)
    found.name = "Renamed"
    with messages() as sent:
        found.save()
    assert len(sent) == 1
    row = local.Customer.objects.get(pk=2)
    assert (row.name, row.secret_note) == ("Renamed", "kept")


def test_save_update_fields(local, remote, shop_data):
    found = remote.Customer.objects.get(pk=2)
    found.name, found.city = "Renamed", "Nowhere"
    found.save(update_fields=["name"])
    row = local.Customer.objects.get(pk=2)
    assert row.name == "Renamed"
    assert row.city != "Nowhere"


def test_save_with_an_expression(local, remote, shop_data):
    found = remote.Customer.objects.get(pk=2)
    before = found.credit
    found.credit = F("credit") + 5
    found.save()
    assert local.Customer.objects.get(pk=2).credit == before + 5


def test_save_of_a_deferred_instance_leaves_the_rest(local, remote, shop_data):
    found = remote.Customer.objects.only("name").get(pk=2)
    city = local.Customer.objects.get(pk=2).city
    found.name = "Short"
    found.save()
    row = local.Customer.objects.get(pk=2)
    assert (row.name, row.city) == ("Short", city)


def test_force_insert_and_force_update(remote, shop_data):
    taken = customer(remote, pk=1)
    with pytest.raises(IntegrityError):
        taken.save(force_insert=True)
    missing = customer(remote, pk=99999)
    with pytest.raises(Exception, match=r"(?i)did not affect any rows"):
        missing.save(force_update=True)


def test_save_with_a_new_key_inserts(local, remote, shop_data):
    customer(remote, pk=5001).save()
    assert local.Customer.objects.filter(pk=5001).exists()


def test_signals_of_the_mirror(remote, shop_data):
    heard = []

    def listen(sender, instance, signal, **kwargs):
        name = {pre_save: "pre_save", post_save: "post_save", pre_delete: "pre_delete", post_delete: "post_delete"}
        heard.append((name[signal], kwargs.get("created")))

    signals = (pre_save, post_save, pre_delete, post_delete)
    for signal in signals:
        signal.connect(listen, sender=remote.Tag)
    try:
        tag = remote.Tag(name="heard")
        tag.save()
        tag.save()
        tag.delete()
    finally:
        for signal in signals:
            signal.disconnect(listen, sender=remote.Tag)
    assert heard == [
        ("pre_save", None),
        ("post_save", True),
        ("pre_save", None),
        ("post_save", False),
        ("pre_delete", None),
        ("post_delete", None),
    ]


def test_refresh_from_db(local, remote, shop_data):
    found = remote.Customer.objects.get(pk=3)
    local.Customer.objects.filter(pk=3).update(name="Changed")
    found.refresh_from_db()
    assert found.name == "Changed"
    local.Customer.objects.filter(pk=3).update(name="Again", city="There")
    found.refresh_from_db(fields=["name"])
    assert (found.name, found.city != "There") == ("Again", True)


def test_full_clean(remote, shop_data):
    email = remote.Customer.objects.get(pk=1).email
    with pytest.raises(ValidationError) as caught:
        customer(remote, email=email, tier="wrong", name="").full_clean()
    assert set(caught.value.message_dict) == {"email", "tier", "name"}
    customer(remote).full_clean()


def test_delete_instance(local, remote, shop_data, messages):
    found = remote.Customer.objects.get(pk=1)
    orders = local.Order.objects.filter(customer=1).count()
    lines = local.Line.objects.filter(order__customer=1).count()
    profiles = local.Profile.objects.filter(customer=1).count()
    with messages() as sent:
        count, by_label = found.delete()
    assert len(sent) == 1
    assert found.pk is None
    assert not local.Customer.objects.filter(pk=1).exists()
    assert by_label.get("shop_client.Order", 0) == orders
    assert count == 1 + orders + lines + profiles


def test_delete_of_a_row_that_is_gone(local, remote, shop_data):
    tag = remote.Tag.objects.create(name="gone")
    local.Tag.objects.filter(pk=tag.pk).delete()
    assert tag.delete()[0] == 0


def test_protected_error_has_mirrors(remote, shop_data):
    category = remote.Category.objects.filter(products__isnull=False).first()
    with pytest.raises(ProtectedError) as caught:
        category.delete()
    assert caught.value.protected_objects
    assert all(isinstance(item, remote.Product) for item in caught.value.protected_objects)


def test_delete_queryset(local, remote, shop_data, messages):
    wanted = local.Line.objects.filter(quantity__gt=1).count()
    with messages() as sent:
        assert remote.Line.objects.filter(quantity__gt=1).delete() == (wanted, {"shop_client.Line": wanted})
    assert len(sent) == 1
    assert not local.Line.objects.filter(quantity__gt=1).exists()


def test_delete_queryset_sends_the_mirrors_signals(remote, shop_data, messages):
    heard = []

    def listen(instance, **kwargs):
        heard.append(instance.pk)

    post_delete.connect(listen, sender=remote.Line)
    try:
        with messages() as sent:
            remote.Line.objects.filter(pk__in=[1, 2]).delete()
    finally:
        post_delete.disconnect(listen, sender=remote.Line)
    assert sorted(heard) == [1, 2]
    assert len(sent) == 2


def test_update(local, remote, shop_data, messages):
    with messages() as sent:
        changed = remote.Customer.objects.filter(tier="vip").update(
            city=Upper("city"), name=Concat("name", Value("!")), credit=F("credit") + 1
        )
    assert len(sent) == 1
    assert changed == local.Customer.objects.filter(tier="vip", name__endswith="!").count() > 0


def test_update_with_an_instance_and_unknown_names(local, remote, shop_data):
    second = remote.Customer.objects.get(pk=2)
    assert remote.Order.objects.filter(customer=1).update(customer=second) >= 1
    assert not local.Order.objects.filter(customer=1).exists()
    with pytest.raises(FieldDoesNotExist):
        remote.Order.objects.update(nothing=1)
    with pytest.raises(FieldError):
        remote.Customer.objects.annotate(n=Count("orders")).update(name=F("missing"))


def test_getset(local, remote, shop_data, messages):
    price = local.Product.objects.get(pk=1).price
    with messages() as sent:
        old = remote.Product.objects.filter(pk=1).getset(price=Decimal("1.25"))
    assert len(sent) == 1
    assert old == [{"id": 1, "price": price}]
    assert local.Product.objects.get(pk=1).price == Decimal("1.25")


def test_get_or_create(local, remote, shop_data, messages):
    with messages() as sent:
        tag, created = remote.Tag.objects.get_or_create(name="brand-new")
        again, created_again = remote.Tag.objects.get_or_create(name="brand-new")
    assert len(sent) == 2
    assert (created, created_again) == (True, False)
    assert isinstance(tag, remote.Tag)
    assert tag == again
    assert local.Tag.objects.filter(name="brand-new").count() == 1


def test_get_or_create_with_callable_defaults(local, remote, shop_data):
    found, created = remote.Customer.objects.get_or_create(
        email="x@example.org", defaults={"name": lambda: "Called", "city": "A", "joined": dt.date(2025, 1, 1)}
    )
    assert created
    assert found.name == "Called"


def test_update_or_create(local, remote, shop_data, messages):
    values = {"name": "Up", "city": "A", "joined": dt.date(2025, 1, 1)}
    made, created = remote.Customer.objects.update_or_create(email="u@example.org", defaults=values)
    with messages() as sent:
        same, again = remote.Customer.objects.update_or_create(email="u@example.org", defaults={"name": "Down"})
    assert len(sent) == 1
    assert (created, again, made.pk) == (True, False, same.pk)
    assert local.Customer.objects.get(email="u@example.org").name == "Down"


def test_bulk_create(local, remote, shop_data, messages):
    with messages() as sent:
        made = remote.Tag.objects.bulk_create([remote.Tag(name=f"bulk-{i}") for i in range(50)])
    assert len(sent) == 1
    assert all(tag.pk for tag in made)
    assert local.Tag.objects.filter(name__startswith="bulk-").count() == 50


def test_bulk_create_conflicts(local, remote, shop_data):
    name = local.Tag.objects.first().name
    remote.Tag.objects.bulk_create([remote.Tag(name=name), remote.Tag(name="other")], ignore_conflicts=True)
    assert local.Tag.objects.filter(name="other").exists()
    first = local.Product.objects.get(pk=1)
    remote.Product.objects.bulk_create(
        [remote.Product(sku=first.sku, title="Replaced", price=1, category_id=first.category_id)],
        update_conflicts=True,
        unique_fields=["sku"],
        update_fields=["title"],
    )
    assert local.Product.objects.get(pk=1).title == "Replaced"
    with pytest.raises(IntegrityError):
        remote.Tag.objects.bulk_create([remote.Tag(name=name)])


def test_bulk_update(local, remote, shop_data, messages):
    products = list(remote.Product.objects.all()[:10])
    for number, product in enumerate(products):
        product.price = Decimal(number)
        product.attributes = {"n": number}
    with messages() as sent:
        assert remote.Product.objects.bulk_update(products, ["price", "attributes"]) == 10
    assert len(sent) == 1
    row = local.Product.objects.get(pk=products[3].pk)
    assert (row.price, row.attributes) == (Decimal(3), {"n": 3})


def test_many_to_many(local, remote, shop_data, messages):
    product = remote.Product.objects.get(pk=1)
    row = local.Product.objects.get(pk=1)
    tags = list(remote.Tag.objects.order_by("id")[:3])
    for change, expected in (
        (lambda: product.tags.set(tags[:2]), {tags[0].pk, tags[1].pk}),
        (lambda: product.tags.add(tags[2], tags[0].pk), {tag.pk for tag in tags}),
        (lambda: product.tags.remove(tags[0]), {tags[1].pk, tags[2].pk}),
        (lambda: product.tags.clear(), set()),
    ):
        with messages() as sent:
            change()
        assert len(sent) == 1
        assert set(row.tags.values_list("pk", flat=True)) == expected
    made = product.tags.create(name="made-here")
    assert list(row.tags.all()) == [local.Tag.objects.get(pk=made.pk)]


def test_many_to_many_from_the_other_side(local, remote, shop_data):
    tag = remote.Tag.objects.create(name="other-side")
    tag.products.add(1, 2)
    assert set(local.Tag.objects.get(pk=tag.pk).products.values_list("pk", flat=True)) == {1, 2}


def test_many_to_many_signals(remote, shop_data):
    heard = []

    def listen(action, pk_set, **kwargs):
        heard.append((action, pk_set))

    m2m_changed.connect(listen, sender=remote.Product.tags.through)
    try:
        remote.Product.objects.get(pk=1).tags.add(1)
    finally:
        m2m_changed.disconnect(listen, sender=remote.Product.tags.through)
    assert heard == [("pre_add", {1}), ("post_add", {1})]


def test_through_model_with_defaults(local, remote, shop_data):
    order = remote.Order.objects.get(pk=1)
    order.products.add(5, through_defaults={"quantity": 7, "price": Decimal("2.50")})
    line = local.Line.objects.get(order=1, product=5, quantity=7)
    assert line.price == Decimal("2.50")


def test_self_many_to_many(local, remote, db):
    ann, bob = (remote.Person.objects.create(name=name) for name in ("Ann", "Bob"))
    ann.friends.add(bob)
    ann.follows.add(bob)
    assert list(bob.friends.all()) == [ann]
    assert list(bob.followers.all()) == [ann]
    assert list(bob.follows.all()) == []


def test_reverse_foreign_key_manager(local, remote, shop_data):
    one = remote.Customer.objects.get(pk=1)
    made = one.orders.create(total=3)
    assert local.Order.objects.get(pk=made.pk).customer_id == 1
    other = remote.Order.objects.exclude(customer=1).first()
    one.orders.add(other)
    assert local.Order.objects.get(pk=other.pk).customer_id == 1
    friend = remote.Customer.objects.get(pk=2)
    one.referrals.set([friend])
    assert local.Customer.objects.get(pk=2).referred_by_id == 1
    one.referrals.clear()
    assert local.Customer.objects.get(pk=2).referred_by_id is None


def test_one_to_one(local, remote, shop_data):
    fresh = remote.Customer.objects.create(name="P", email="p@x.org", city="A", joined=dt.date(2025, 1, 1))
    with pytest.raises(remote.Customer.profile.RelatedObjectDoesNotExist):
        fresh.profile  # noqa: B018
    profile = remote.Profile.objects.create(customer=fresh, bio="hello")
    assert remote.Customer.objects.get(pk=fresh.pk).profile == profile
    assert remote.Profile.objects.get(customer=fresh).customer == fresh


def test_multi_table_inheritance(local, remote, db, messages):
    with messages() as sent:
        made = remote.Restaurant.objects.create(name="Blue", address="1 Road", serves_pizza=True)
    assert len(sent) == 1
    assert local.Restaurant.objects.get(pk=made.pk).name == "Blue"
    found = remote.Restaurant.objects.get(name="Blue")
    assert (found.address, found.serves_pizza, found.place_ptr.name) == ("1 Road", True, "Blue")
    found.name = "Red"
    found.save()
    assert local.Place.objects.get(pk=made.pk).name == "Red"
    assert remote.Place.objects.get(pk=made.pk).restaurant.serves_pizza is True
    found.delete()
    assert not local.Place.objects.exists()


def test_keys_of_other_kinds(local, remote, db):
    key = remote.UuidKey.objects.create(name="u")
    assert local.UuidKey.objects.get().pk == key.pk
    word = remote.NaturalKey.objects.create(code="abc", title="t")
    note = remote.NoteOnKey.objects.create(by_uuid=key, by_code=word)
    assert remote.NoteOnKey.objects.filter(by_uuid=key, by_code="abc").get() == note
    euro = remote.Currency.objects.create(code="EUR", name="Euro")
    price = remote.Price.objects.create(currency=euro, amount=5)
    assert price.currency_id == "EUR"
    assert remote.Price.objects.get(currency=euro).currency == euro
    assert remote.Price.objects.get(currency__name="Euro") == price
