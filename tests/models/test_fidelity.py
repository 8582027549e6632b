"""What Django's own tests of the ORM found in mirrors: one test for each cause that was cured."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, router
from django.db.models.signals import post_save

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_post_save_says_whether_the_row_is_new(remote, shop_data):
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


def test_another_local_database_has_no_mirrors(remote, monkeypatch):
    from django.db import connections

    monkeypatch.setitem(connections.settings, "archive", connections.settings["default"])
    with pytest.raises(NotSupportedError, match="its rows are at 'rpc'"):
        remote.Customer.objects.using("archive")
