"""Django's ``atomic()`` on a service: errors of blocks that cannot be rolled back, and blocks in Django's code."""

# ruff: noqa: PT012 - the exceptions leave whole blocks

from __future__ import annotations

import contextlib

import pytest
from django.contrib.admin.sites import AdminSite
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import IntegrityError, connections, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError, atomic

import django_rpc
from django_rpc.backend.transactions import CannotRollBack
from django_rpc.errors import RpcTimeout

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


class Left(Exception):
    pass


def test_exception_leaves_block_that_wrote(local, remote, shop_data):
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


def test_exception_leaves_block_without_writes(remote, shop_data):
    with pytest.raises(Left), atomic(using="rpc"):
        assert remote.Tag.objects.count()
        raise Left
    # The service has rolled back the failed statement, so no write remains.
    with pytest.raises(IntegrityError), atomic(using="rpc"):
        remote.Customer.objects.filter(pk=1).update(email=remote.Customer.objects.get(pk=2).email)
    with pytest.raises(ProtectedError), atomic(using="rpc"):
        remote.Product.objects.filter(lines__isnull=False).first().delete()


def test_blocks_without_exception(local, remote, shop_data):
    with atomic(using="rpc"), atomic(using="rpc"):
        remote.Tag.objects.create(name="one")
    with atomic(using="rpc"):
        remote.Tag.objects.create(name="two")
    assert local.Tag.objects.filter(name__in=["one", "two"]).count() == 2


def test_inner_block_lists_its_writes_only(remote, shop_data):
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
def test_outer_block_lists_writes_of_inner_blocks(savepoint, remote, shop_data):
    with pytest.raises(CannotRollBack) as caught, atomic(using="rpc"):
        with atomic(using="rpc"):
            remote.Tag.objects.create(name="a")
        remote.Tag.objects.create(name="b")
        with atomic(using="rpc", savepoint=savepoint):
            remote.Tag.objects.create(name="c")
            raise Left
    assert [text[-3] for text in caught.value.done] == ["a", "b", "c"]


def test_failed_block_without_savepoint_rolls_back_the_outer_block(remote, shop_data):
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


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)
def test_outermost_block(remote, shop_data):
    connection = connections["rpc"]
    with pytest.raises(CannotRollBack, match="was left by Left") as caught, atomic(using="rpc"):
        remote.Tag.objects.create(name="a")
        raise Left
    assert isinstance(caught.value.__cause__, Left)
    assert (connection.in_atomic_block, connection.needs_rollback) == (False, False)
    with pytest.raises(CannotRollBack, match="was rolled back") as caught, atomic(using="rpc"):
        remote.Tag.objects.create(name="b")
        transaction.set_rollback(True, using="rpc")
    assert [text[-3] for text in caught.value.done] == ["b"]
    with pytest.raises(Left), atomic(using="rpc"):
        raise Left


@pytest.mark.parametrize("is_raised_again", [True, False])
def test_block_in_an_except_clause(is_raised_again, remote, shop_data):
    def handle():
        try:
            raise Left
        except Left:
            with atomic(using="rpc"):
                remote.Tag.objects.create(name="a")
                if is_raised_again:
                    raise

    if is_raised_again:
        with pytest.raises(CannotRollBack, match="was rolled back"):
            handle()
    else:
        handle()


def test_error_of_a_savepoint_is_raised_once(remote, shop_data):
    with pytest.raises(CannotRollBack, match="was rolled back"), atomic(using="rpc"):
        sid = transaction.savepoint(using="rpc")
        remote.Tag.objects.create(name="a")
        with pytest.raises(CannotRollBack):
            transaction.savepoint_rollback(sid, using="rpc")
        transaction.set_rollback(True, using="rpc")


def test_savepoints_without_blocks(remote, shop_data):
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


def test_decorated_function(remote, shop_data):
    @transaction.atomic(using="rpc")
    def write(name, fails):
        remote.Tag.objects.create(name=name)
        if fails:
            raise Left

    write("good", False)
    with pytest.raises(CannotRollBack, match="bad") as caught:
        write("bad", True)
    assert len(caught.value.done) == 1  # without the write of the first call


def test_exit_stack(remote, shop_data):
    with pytest.raises(CannotRollBack), contextlib.ExitStack() as stack:
        stack.enter_context(atomic(using="rpc"))
        remote.Tag.objects.create(name="a")
        raise Left


def test_keyboard_interrupt_is_not_replaced(remote, shop_data):
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


def test_future_without_an_answer(remote, shop_data):
    with pytest.raises(CannotRollBack, match="without a wait for its answer"), atomic(using="rpc"):
        remote.Tag.objects.future().create(name="a")
        raise Left


def test_write_with_unknown_outcome_is_reported_as_perhaps_done(remote, shop_data, monkeypatch):
    from django_rpc.client.session import _SentMessage

    def no_answer(call, answer):
        raise RpcTimeout("No answer.")

    with pytest.raises(CannotRollBack, match="perhaps: no answer arrived"), atomic(using="rpc"):
        monkeypatch.setattr(_SentMessage, "settle", no_answer)
        remote.Tag.objects.create(name="a")


def test_error_of_a_message_has_no_note_that_repeats_it(remote, shop_data, monkeypatch):
    from django_rpc.client.session import _SentMessage

    def no_answer(call, answer):
        raise RpcTimeout("No answer.")

    monkeypatch.setattr(_SentMessage, "settle", no_answer)
    with pytest.raises(RpcTimeout) as caught, django_rpc.atomic("rpc"):
        remote.Tag.objects.create(name="a")
        remote.Tag.objects.create(name="b")
    assert not any("This atomic() block" in note for note in getattr(caught.value, "__notes__", []))


def test_block_in_the_code_of_django_adds_a_note(remote, shop_data):
    def fail(**kwargs):
        raise Left

    post_save.connect(fail, sender=remote.Tag)
    try:
        with pytest.raises(Left) as caught:
            remote.Tag.objects.get_or_create(name="fresh")
    finally:
        post_save.disconnect(fail, sender=remote.Tag)
    assert "Done already: shop.Tag: Tag.save(name='fresh')" in caught.value.__notes__[0]


def test_get_or_create_in_a_block(remote, shop_data):
    with atomic(using="rpc"):
        made, created = remote.Tag.objects.get_or_create(name="fresh")
        again, created_again = remote.Tag.objects.get_or_create(name="fresh")
        remote.Tag.objects.update_or_create(name="fresh", defaults={"name": "fresher"})
        remote.Tag.objects.bulk_create([remote.Tag(name="x"), remote.Tag(name="y")])
    assert (created, created_again, made) == (True, False, again)


def test_admin_view_adds_a_note(remote, shop_data, rf, admin_user):
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
