"""Differences that Django's tests of the ORM found in mirrors: one test for each corrected cause."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, router
from django.db.models.signals import m2m_changed, post_save
from django.test import override_settings
from django.utils.functional import lazy

from django_rpc.graph.vocabulary.names import check_path
from django_rpc.models import RpcManager, RpcModel

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_post_save_has_created_flag(remote, shop_data):
    heard = []

    def receive(sender, created, **kwargs):
        heard.append(created)

    known = remote.Customer.objects.get(pk=1)
    post_save.connect(receive, sender=remote.Customer)
    try:
        known.save()
        remote.Customer(pk=1, name="n", email="n@example.org", city="c", joined=dt.date(2025, 1, 1)).save()
        remote.Customer(pk=777, name="m", email="m@example.org", city="c", joined=dt.date(2025, 1, 1)).save()
    finally:
        post_save.disconnect(receive, sender=remote.Customer)
    assert heard == [False, False, True]


def test_local_models_are_read_locally_though_the_alias_is_a_mirrors(remote, shop_data, messages):
    user = User.objects.create(username="ada")
    with messages() as sent:
        assert User.objects.db_manager("rpc").get(pk=user.pk) == user
        assert ContentType.objects.db_manager("rpc").get_for_model(User).model == "user"
        User.objects.using("rpc").filter(pk=user.pk).update(first_name="A")
        assert User.objects.using("rpc").filter(first_name="A").exists()
        assert User.objects.using("rpc").filter(pk=user.pk).delete()[0] == 1
    assert len(sent) == 0


def test_the_router_does_not_take_a_mirrors_alias_for_a_local_model(remote, shop_data):
    customer = remote.Customer.objects.get(pk=1)
    assert router.db_for_read(User, instance=customer) == DEFAULT_DB_ALIAS
    assert router.db_for_write(User, instance=customer) == DEFAULT_DB_ALIAS
    assert router.allow_relation(customer, User(username="x"))


def test_the_default_alias_is_nobodys_choice_and_any_other_is_a_mistake(remote, shop_data, settings):
    assert remote.Customer.objects.using("default").get(pk=1)._state.db == "rpc"
    assert remote.Customer.objects.db_manager("default").get(pk=1)._state.db == "rpc"
    taken = remote.Customer(name="x", email=remote.Customer.objects.get(pk=1).email)
    with pytest.raises(Exception, match="already exists"):
        taken.validate_unique()


def test_another_local_database_has_no_mirrors(remote, database_alias):
    from django.db import connections

    database_alias("archive", connections.settings["default"])
    with pytest.raises(NotSupportedError, match="its rows are at 'rpc'"):
        remote.Customer.objects.using("archive")


def test_prefetched_rows_are_independent(local, remote, shop_data):
    """A clone of the prefetched rows' query kept no condition: set() emptied the relation of every other row."""
    customer = remote.Customer.objects.prefetch_related("orders").get(pk=1)
    count = local.Order.objects.filter(customer=1).count()
    assert customer.orders.filter(pk__gt=0).count() == count
    assert list(customer.orders.filter(pk=-1)) == []
    assert customer.orders.using("rpc").all().count() == count
    assert customer.orders.filter(pk=-1).update(status="void") == 0
    assert not local.Order.objects.filter(status="void").exists()


@pytest.mark.parametrize("method", ["get_or_create", "update_or_create"])
def test_expressions_of_client_are_left_to_django(local, remote, shop_data, method):
    write = getattr(remote.Currency.objects, method)
    with pytest.raises(FieldError, match="Cannot resolve keyword 'nonexistent' into field"):
        write(nonexistent=1)
    with pytest.raises(FieldError, match="Invalid field name"):
        write(code="ZZZ", defaults={"nonexistent": 1})
    made, created = write(code="ZZZ", defaults={"name": lambda: "called"})
    assert (created, made.name) == (True, "called")
    never = lazy(lambda: 1 / 0, dict)()
    if method == "get_or_create":
        assert write(code="ZZZ", defaults=never)[1] is False


def test_get_or_create_sends_client_signals(remote, shop_data):
    heard = []

    def receive(sender, instance, created, **kwargs):
        heard.append((instance.code, created))

    post_save.connect(receive, sender=remote.Currency)
    try:
        remote.Currency.objects.get_or_create(code="ZZZ", defaults={"name": "z"})
        remote.Currency.objects.get_or_create(code="ZZZ", defaults={"name": "z"})
        remote.Currency.objects.update_or_create(code="ZZZ", defaults={"name": "y"})
    finally:
        post_save.disconnect(receive, sender=remote.Currency)
    assert heard == [("ZZZ", True), ("ZZZ", False)]


def test_m2m_changed_has_added_and_removed_keys(remote, shop_data):
    one, two, three = (remote.Person.objects.create(name=name) for name in "abc")
    one.follows.add(two)
    heard = []

    def receive(action, pk_set, **kwargs):
        heard.append((action, pk_set))

    m2m_changed.connect(receive, sender=remote.Person.follows.through)
    try:
        one.follows.add(two, three)
        one.follows.set([two])
    finally:
        m2m_changed.disconnect(receive, sender=remote.Person.follows.through)
    assert heard == [
        ("pre_add", {three.pk}),
        ("post_add", {three.pk}),
        ("pre_remove", {three.pk}),
        ("post_remove", {three.pk}),
    ]


def test_a_child_learns_its_parents_key(local, remote):
    made = remote.Restaurant(name="r")
    made.save()
    row = local.Restaurant.objects.get(name="r")
    assert (made.pk, made.id, made.place_ptr_id) == (row.pk, row.pk, row.pk)


def test_mirror_with_custom_manager_has_no_objects(monkeypatch):
    monkeypatch.setattr("django.apps.registry.Apps.register_model", lambda *args: None)

    class Shelf(RpcModel):
        books = RpcManager()

        class Meta:
            app_label = "shop_client"

    assert not hasattr(Shelf, "objects")
    assert Shelf._default_manager.name == "books"


def test_the_hidden_side_of_a_relation_is_a_path(local, remote):
    one, two = (remote.Person.objects.create(name=name) for name in "ab")
    through = local.Person.friends.through
    through.objects.create(from_person_id=one.pk, to_person_id=two.pk)  # one way only, which Django itself never makes
    assert list(one.friends.all()) == [two]
    assert list(two.friends.all()) == []


def test_empty_query_sends_nothing(remote, messages):
    with messages() as sent:
        assert list(remote.Customer.objects.filter(pk__in=[None])) == []
    assert len(sent) == 0


@pytest.mark.parametrize("path", ["_order", "_order__gt", "friends_rel_+", "_shop_order_tags_+__id"])
def test_names_with_underscore_are_paths(path):
    check_path(path)


@pytest.mark.parametrize("path", ["_state", "_orders", "__class__", "+", "a+b", "_+", "x_+__a+"])
def test_other_names_with_an_underscore_are_none(path):
    with pytest.raises(ValueError, match="not a valid lookup path"):
        check_path(path)


@override_settings(DJANGO_RPC={"STRICT": False})
def test_content_types_are_separate_per_project(local, remote):
    bookmark = remote.Bookmark.objects.create(url="https://example.org")
    made = remote.TaggedItem.objects.create(tag="a", content_object=bookmark)
    here, there = (ContentType.objects.get_for_model(model) for model in (remote.Bookmark, local.Bookmark))
    assert here != there
    assert local.TaggedItem.objects.get(pk=made.pk).content_type == there
    found = remote.TaggedItem.objects.get(pk=made.pk)
    assert (found.content_type_id, found.content_object) == (here.pk, bookmark)
    for condition in ({"content_type": here}, {"content_type_id__in": [here.pk]}, {"content_type__pk": here.pk}):
        assert remote.TaggedItem.objects.filter(**condition).values_list("content_type", flat=True).get() == here.pk
    assert list(bookmark.tags.all()) == [found]
    assert list(remote.Bookmark.objects.filter(tags__tag="a")) == [bookmark]
    bookmark.tags.clear()
    assert not local.TaggedItem.objects.exists()
