"""Django's ``atomic()`` on a service: what a block says that cannot be rolled back, and what Django's own blocks do."""

# ruff: noqa: PT012 - what is left by an exception are whole blocks

from __future__ import annotations

import contextlib

import pytest
from django.contrib.admin.sites import AdminSite
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import IntegrityError, connections, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError, atomic

from django_rpc.backend.transactions import CannotRollBack

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


class Left(Exception):
    pass


def test_a_block_that_wrote_and_is_left_says_what_stays(local, remote, shop_data):
    with pytest.raises(TransactionManagementError) as caught, atomic(using="rpc"):
        tag = remote.Tag.objects.create(name="stays")
        remote.Tag.objects.filter(pk=tag.pk).update(name="changed")
        raise Left("why")
    text = str(caught.value)
    assert "shop.Tag: Tag.save(name='stays')" in text
    assert ".update(name='changed')" in text
    assert "Left('why')" in text
    assert "django_rpc.atomic('rpc')" in text
    assert len(caught.value.done) == 2
    assert isinstance(caught.value.__cause__, Left)
    assert local.Tag.objects.filter(name="changed").exists()
    assert not connections["rpc"].needs_rollback


def test_a_block_that_wrote_nothing_lets_its_exception_pass(remote, shop_data):
    with pytest.raises(Left), atomic(using="rpc"):
        assert remote.Tag.objects.count()
        raise Left
    # What failed was rolled back by the service: nothing stays.
    with pytest.raises(IntegrityError), atomic(using="rpc"):
        remote.Customer.objects.filter(pk=1).update(email=remote.Customer.objects.get(pk=2).email)
    with pytest.raises(ProtectedError), atomic(using="rpc"):
        remote.Product.objects.filter(lines__isnull=False).first().delete()


def test_a_block_that_ends_well_says_nothing(local, remote, shop_data):
    with atomic(using="rpc"), atomic(using="rpc"):
        remote.Tag.objects.create(name="one")
    with atomic(using="rpc"):
        remote.Tag.objects.create(name="two")
    assert local.Tag.objects.filter(name__in=["one", "two"]).count() == 2


def test_an_inner_block_speaks_for_itself(remote, shop_data):
    with atomic(using="rpc"):
        remote.Tag.objects.create(name="outer")
        with pytest.raises(CannotRollBack) as caught, atomic(using="rpc"):
            remote.Tag.objects.create(name="inner")
            raise Left
        assert [text.partition("name=")[2] for text in caught.value.done] == ["'inner')"]
        with pytest.raises(Left), atomic(using="rpc"):
            raise Left
        remote.Tag.objects.create(name="after")


@pytest.mark.parametrize("savepoint", [True, False])
def test_the_outer_block_names_what_all_its_blocks_did(savepoint, remote, shop_data):
    with pytest.raises(CannotRollBack) as caught, atomic(using="rpc"):
        with atomic(using="rpc"):
            remote.Tag.objects.create(name="a")
        remote.Tag.objects.create(name="b")
        with atomic(using="rpc", savepoint=savepoint):
            remote.Tag.objects.create(name="c")
            raise Left
    assert [text[-3] for text in caught.value.done] == ["a", "b", "c"]


def test_without_a_savepoint_the_outer_block_is_to_be_rolled_back(remote, shop_data):
    with pytest.raises(CannotRollBack, match="was rolled back"), atomic(using="rpc"):
        remote.Tag.objects.create(name="stays")
        with contextlib.suppress(Left), atomic(using="rpc", savepoint=False):
            raise Left


def test_set_rollback(remote, shop_data):
    with pytest.raises(CannotRollBack, match="was rolled back"), atomic(using="rpc"):
        remote.Tag.objects.create(name="stays")
        transaction.set_rollback(True, using="rpc")
    with atomic(using="rpc"):
        remote.Tag.objects.count()
        transaction.set_rollback(True, using="rpc")


def test_savepoints_by_hand(remote, shop_data):
    with atomic(using="rpc"):
        remote.Tag.objects.create(name="before")
        sid = transaction.savepoint(using="rpc")
        transaction.savepoint_rollback(sid, using="rpc")
        sid = transaction.savepoint(using="rpc")
        remote.Tag.objects.create(name="within")
        with pytest.raises(CannotRollBack, match="within") as caught:
            transaction.savepoint_rollback(sid, using="rpc")
        assert "before" not in str(caught.value)
        transaction.savepoint_commit(sid, using="rpc")


def test_a_decorated_function(remote, shop_data):
    @transaction.atomic(using="rpc")
    def write(name, fails):
        remote.Tag.objects.create(name=name)
        if fails:
            raise Left

    write("good", False)
    with pytest.raises(CannotRollBack, match="bad") as caught:
        write("bad", True)
    assert len(caught.value.done) == 1  # and not of the call before, by the same block


def test_an_exit_stack(remote, shop_data):
    with pytest.raises(CannotRollBack), contextlib.ExitStack() as stack:
        stack.enter_context(atomic(using="rpc"))
        remote.Tag.objects.create(name="a")
        raise Left


def test_an_interrupt_stays_one(remote, shop_data):
    with pytest.raises(KeyboardInterrupt) as caught, atomic(using="rpc"):
        remote.Tag.objects.create(name="a")
        raise KeyboardInterrupt
    assert "Done already: shop.Tag" in caught.value.__notes__[0]


def test_durable(remote, shop_data):
    with atomic(using="rpc", durable=True):
        remote.Tag.objects.create(name="a")
    with atomic(using="rpc"), pytest.raises(RuntimeError, match="durable"), atomic(using="rpc", durable=True):
        pass


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)
def test_on_commit(remote, shop_data):
    ran = []
    with atomic(using="rpc"):
        transaction.on_commit(lambda: ran.append("outer"), using="rpc")
        with contextlib.suppress(Left), atomic(using="rpc"):
            transaction.on_commit(lambda: ran.append("left"), using="rpc")
            raise Left
        assert ran == []
    assert ran == ["outer"]
    with pytest.raises(CannotRollBack), atomic(using="rpc"):
        transaction.on_commit(lambda: ran.append("never"), using="rpc")
        remote.Tag.objects.create(name="a")
        raise Left
    connection = connections["rpc"]
    assert (connection.in_atomic_block, connection.get_autocommit(), connection.savepoint_ids) == (False, True, [])
    transaction.on_commit(lambda: ran.append("now"), using="rpc")
    assert ran == ["outer", "now"]


def test_a_future_that_nobody_waited_for(remote, shop_data):
    with pytest.raises(CannotRollBack, match="nobody waited for the answer"), atomic(using="rpc"):
        remote.Tag.objects.future().create(name="a")
        raise Left


def test_of_an_unknown_outcome_it_says_perhaps(remote, shop_data, monkeypatch):
    from django_rpc.client.session import _Call
    from django_rpc.errors import RpcTimeout

    def no_answer(call, answer):
        raise RpcTimeout("No answer.")

    with pytest.raises(CannotRollBack, match="perhaps: no answer came"), atomic(using="rpc"):
        monkeypatch.setattr(_Call, "settle", no_answer)
        remote.Tag.objects.create(name="a")


def test_django_s_own_blocks_let_exceptions_pass(remote, shop_data):
    def fail(**kwargs):
        raise Left

    post_save.connect(fail, sender=remote.Tag)
    try:
        with pytest.raises(Left) as caught:
            remote.Tag.objects.get_or_create(name="fresh")
    finally:
        post_save.disconnect(fail, sender=remote.Tag)
    assert "Done already: shop.Tag: Tag.save(name='fresh')" in caught.value.__notes__[0]


def test_get_or_create_within_a_block(remote, shop_data):
    with atomic(using="rpc"):
        made, created = remote.Tag.objects.get_or_create(name="fresh")
        again, created_again = remote.Tag.objects.get_or_create(name="fresh")
        remote.Tag.objects.update_or_create(name="fresh", defaults={"name": "fresher"})
        remote.Tag.objects.bulk_create([remote.Tag(name="x"), remote.Tag(name="y")])
    assert (created, created_again, made) == (True, False, again)


def test_the_admin(remote, shop_data, rf, admin_user):
    """Its view is a block of Django's own, decorated by nobody: it passes what a model raises."""
    from django.contrib.admin import ModelAdmin

    class Refusing(ModelAdmin):
        def save_related(self, request, form, formsets, change):
            raise Left

    view = Refusing(remote.Tag, AdminSite())
    request = rf.post("/", {"name": "by-the-admin"})
    request.user, request.session, request._dont_enforce_csrf_checks = admin_user, {}, True
    request._messages = FallbackStorage(request)
    with pytest.raises(Left) as caught:
        view.add_view(request)
    assert "Done already: shop.Tag" in caught.value.__notes__[0]
