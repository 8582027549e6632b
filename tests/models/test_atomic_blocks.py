"""``django_rpc.atomic()`` among its neighbours: other blocks, ``once()``, permissions, canned answers, signals."""

# ruff: noqa: PT012 - the exceptions leave whole blocks

from __future__ import annotations

import contextlib

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.db.transaction import TransactionManagementError

import django_rpc
from django_rpc.models.atomic import NotSentYet
from tests.models.block_parts import Left, customer

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_a_block_within_a_block(local, remote, shop_data, messages):
    with messages() as sent, django_rpc.atomic("rpc"):
        outer = remote.Tag.objects.create(name="outer")
        for inner in (lambda: django_rpc.atomic("rpc"), lambda: transaction.atomic(using="rpc")):
            left = remote.Tag(name="left")
            with contextlib.suppress(Left), inner():
                left.save()
                remote.Tag.objects.create(name="left too")
                raise Left
            assert (left.pk, left._state.adding) == (None, True)
            with inner():
                remote.Tag.objects.create(name=f"inner {id(inner)}")
        sid = transaction.savepoint(using="rpc")
        remote.Tag.objects.create(name="by hand")
        transaction.savepoint_rollback(sid, using="rpc")
        assert len(sent) == 0
    assert len(sent) == 1
    assert local.Tag.objects.get(pk=outer.pk).name == "outer"
    assert local.Tag.objects.filter(name__startswith="inner").count() == 2
    assert not local.Tag.objects.filter(name__in=["left", "left too", "by hand"]).exists()


def test_instance_of_dropped_inner_block_is_refused(remote, shop_data):
    with pytest.raises(NotSentYet, match="does not exist"), django_rpc.atomic("rpc"):
        ada = customer(remote)
        with contextlib.suppress(Left), django_rpc.atomic("rpc"):
            ada.save()
            key = ada.pk
            raise Left
        remote.Order.objects.create(customer_id=key, total=1)
    with pytest.raises(ValueError, match="unsaved related object"), django_rpc.atomic("rpc"):
        remote.Order.objects.create(customer=ada, total=1)


def test_within_a_block_of_django(local, remote, shop_data):
    from django_rpc.backend.transactions import CannotRollBack

    with pytest.raises(CannotRollBack) as caught, transaction.atomic(using="rpc"):
        with django_rpc.atomic("rpc"):
            remote.Tag.objects.create(name="a")
            remote.Tag.objects.create(name="b")
        raise Left
    assert len(caught.value.done) == 1  # one message
    assert "name='a'" in caught.value.done[0]
    assert "name='b'" in caught.value.done[0]


def test_set_rollback_and_broken_blocks(local, remote, shop_data, messages):
    with messages() as sent:
        with django_rpc.atomic("rpc"):
            tag = remote.Tag.objects.create(name="a")
            transaction.set_rollback(True, using="rpc")
        assert tag.pk is None
        with pytest.raises(TransactionManagementError, match="until the end"), django_rpc.atomic("rpc"):
            with contextlib.suppress(Left), transaction.atomic(using="rpc", savepoint=False):
                raise Left
            remote.Tag.objects.create(name="b")
    assert len(sent) == 0


def test_durable(remote, shop_data):
    with django_rpc.atomic("rpc", durable=True):
        pass
    with django_rpc.atomic("rpc"), pytest.raises(RuntimeError, match="durable"), django_rpc.atomic("rpc", durable=True):
        pass


def test_a_decorated_function(local, remote, shop_data, messages):
    @django_rpc.atomic("rpc")
    def tags(*names):
        """Makes tags."""
        return [remote.Tag.objects.create(name=name) for name in names]

    with messages() as sent:
        assert [tag.name for tag in tags("a", "b")] == ["a", "b"]
        with pytest.raises(IntegrityError):
            tags("c", "a")
    assert len(sent) == 2
    assert tags.__doc__ == "Makes tags."
    assert not local.Tag.objects.filter(name="c").exists()


def test_a_block_of_another_kind_of_database(remote):
    from django.core.exceptions import ImproperlyConfigured

    with pytest.raises(ImproperlyConfigured, match=r"django.db.transaction.atomic"), django_rpc.atomic("default"):
        pass
    with pytest.raises(ImproperlyConfigured, match="no database 'nowhere'"), django_rpc.atomic("nowhere"):
        pass


def test_once_around_block(local, remote, shop_data, messages):
    def work():
        with django_rpc.once("fresh-tags"), django_rpc.atomic("rpc"):
            first = remote.Tag.objects.create(name="fresh")
            remote.Tag.objects.create(name="fresher")
        return first.pk

    assert work() == work()  # the second time, it is the answer that is kept
    assert local.Tag.objects.filter(name__startswith="fresh").count() == 2
    with pytest.raises(NotSentYet, match="around the block"), django_rpc.atomic("rpc"), django_rpc.once("inner"):
        remote.Tag.objects.create(name="inner")


def test_forbidden_write_undoes_block(local, remote, shop_data, monkeypatch):
    from django.core.exceptions import PermissionDenied

    from django_rpc.demo.server.shop import rpc

    monkeypatch.setattr(rpc.TagRpc, "has_permission", lambda self, request, operation: operation == "read")
    ada = customer(remote)
    with pytest.raises(PermissionDenied) as caught, django_rpc.atomic("rpc"):
        ada.save()
        remote.Tag.objects.create(name="fresh")
    assert "Tag.save(name='fresh')" in caught.value.__notes__[0]
    assert ada.pk is None
    assert not local.Customer.objects.filter(name="Ada").exists()


def test_canned_answers(remote):
    from django_rpc.test import canned_answers

    with canned_answers() as answers:
        answers.value("Tag.save(*)", {"id": 7})
        answers.value("Order.save(*)", None)
        answers.value("*Tag.objects.get(pk=3).delete()*", (1, {"shop.Tag": 1}))
        with django_rpc.atomic("rpc"):
            tag = remote.Tag.objects.create(name="fresh")
            order = remote.Order.objects.create(customer_id=1)
            deleted = remote.Tag(pk=3).delete()
    assert (tag.pk, order.pk, deleted[0]) == (7, None, 1)


def test_an_empty_block_sends_nothing(messages, remote):
    with messages() as sent, django_rpc.atomic("rpc"):
        pass
    assert len(sent) == 0


# Signals and callbacks


def test_signals(local, remote, shop_data):
    heard = []

    def hear(name):
        def receiver(instance, **kwargs):
            heard.append((name, str(instance), type(instance.pk).__name__, kwargs.get("created")))

        return receiver

    receivers = {signal: hear(name) for signal, name in ((pre_save, "pre"), (post_save, "post"), (post_delete, "gone"))}
    for signal, receiver in receivers.items():
        signal.connect(receiver, sender=remote.Tag)
    try:
        old = remote.Tag.objects.get(pk=1)
        with django_rpc.atomic("rpc"):
            new = remote.Tag.objects.create(name="fresh")
            old.delete()
            assert heard == [("pre", "fresh", "NoneType", None)]
    finally:
        for signal, receiver in receivers.items():
            signal.disconnect(receiver, sender=remote.Tag)
    assert heard[1:] == [("post", "fresh", "int", True), ("gone", old.name, "int", None)]
    assert old.pk is None
    assert new.pk


def test_m2m_changed_has_the_keys(remote, shop_data):
    heard = []

    def hear(action, pk_set, **kwargs):
        heard.append((action, pk_set))

    through = remote.Product.tags.through
    m2m_changed.connect(hear, sender=through)
    try:
        with django_rpc.atomic("rpc"):
            tag = remote.Tag.objects.create(name="fresh")
            remote.Product(pk=1).tags.remove(tag)
    finally:
        m2m_changed.disconnect(hear, sender=through)
    assert heard[-1] == ("post_remove", {tag.pk})


def test_failing_receiver_does_not_undo_block(local, remote, shop_data):
    def fail(**kwargs):
        raise Left

    post_save.connect(fail, sender=remote.Tag)
    tag, ada = remote.Tag(name="fresh"), customer(remote)
    try:
        with pytest.raises(Left) as caught, django_rpc.atomic("rpc"):
            tag.save()
            ada.save()
    finally:
        post_save.disconnect(fail, sender=remote.Tag)
    assert local.Tag.objects.get(pk=tag.pk)
    assert local.Customer.objects.get(pk=ada.pk)
    assert "Done already" in caught.value.__notes__[0]


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)
def test_on_commit(local, remote, shop_data):
    ran = []
    with django_rpc.atomic("rpc"):
        tag = remote.Tag.objects.create(name="a")
        transaction.on_commit(lambda: ran.append(tag.pk), using="rpc")
        assert ran == []
    assert ran == [tag.pk]
    for name in ("a", "b"):  # the service refuses the first, and the second remains
        with contextlib.suppress(IntegrityError, Left), django_rpc.atomic("rpc"):
            transaction.on_commit(lambda: ran.append("never"), using="rpc")
            remote.Tag.objects.create(name=name)
            if name == "b":
                raise Left
    assert ran == [tag.pk]
    connection = connections["rpc"]
    assert (connection.in_atomic_block, connection.get_autocommit()) == (False, True)


def test_the_same_code_under_a_key_is_the_same_request(local, remote, shop_data):
    """Nodes that this process has built before do not matter: a node of the first run would precede the others."""

    def work():
        with django_rpc.once("the-same"), django_rpc.atomic("rpc"):
            tag = remote.Tag.objects.create(name="once")
            remote.Customer.objects.filter(pk=1).update(credit=5)
        return tag.pk

    assert work() == work()
    assert local.Tag.objects.filter(name="once").count() == 1
