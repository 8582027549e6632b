"""``async with django_rpc.atomic()``: a block of a task, without blocking its loop."""

import asyncio
import contextlib

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connections, transaction
from django.db.models import F

import django_rpc
from django_rpc.client.hooks import MessageListener
from django_rpc.models.atomic import NotSentYet

pytestmark = [pytest.mark.django_db(databases=["default", "rpc"]), pytest.mark.usefixtures("shop_data")]


class Left(Exception):
    pass


@pytest.fixture
def sent(monkeypatch):
    """The messages of this process, from all threads and sessions."""
    records = []
    session = connections["rpc"].session
    monkeypatch.setattr(session, "hooks", [*session.hooks, MessageListener(records.append)])
    return records


def run(function):
    return async_to_sync(function)()


def test_one_message(local, remote, sent):
    async def block():
        async with django_rpc.atomic("rpc") as block:
            tag = await remote.Tag.objects.acreate(name="fresh")
            order = remote.Order(customer_id=1, total=1)
            await order.asave()
            await remote.Order.objects.filter(pk=order.pk).aupdate(total=F("total") + 1)
            await remote.Tag.objects.abulk_create([remote.Tag(name="a"), remote.Tag(name="b")])
            short = await remote.Tag.objects.acreate(name="short")
            await short.adelete()
            await remote.Product(pk=1).tags.aadd(tag)
            count = block.add(remote.Tag.objects.delayed().filter(name__in=["a", "b", "fresh"]).count())
            assert len(sent) == 0
        return tag, order, count

    tag, order, count = run(block)
    assert len(sent) == 1
    assert count.result() == 3
    assert local.Tag.objects.get(pk=tag.pk).name == "fresh"
    assert (local.Order.objects.get(pk=order.pk).total, order.number) == (
        2,
        local.Order.objects.get(pk=order.pk).number,
    )
    assert local.Product.objects.get(pk=1).tags.filter(pk=tag.pk).exists()
    assert not local.Tag.objects.filter(name="short").exists()


def test_left_refused_and_in_vain(local, remote, sent):
    tag = remote.Tag(name="never")

    async def left():
        async with django_rpc.atomic("rpc"):
            await tag.asave()
            raise Left

    async def read():
        async with django_rpc.atomic("rpc"):
            await tag.asave()
            await remote.Tag.objects.acount()

    async def asked():
        async with django_rpc.atomic("rpc"):
            await remote.Tag.objects.delayed().create(name="never")

    async def twice():
        async with django_rpc.atomic("rpc"):
            await tag.asave()
            await remote.Tag.objects.acreate(name="never")

    for block, error in ((left, Left), (read, NotSentYet), (asked, NotSentYet), (twice, IntegrityError)):
        with pytest.raises(error):
            run(block)
        assert (tag.pk, tag._state.adding) == (None, True)
    assert len(sent) == 1  # by the last
    assert not local.Tag.objects.filter(name="never").exists()


def test_blocks_of_tasks_are_apart(local, remote, sent):
    async def task(name):
        async with django_rpc.atomic("rpc"):
            first = await remote.Tag.objects.acreate(name=name)
            await asyncio.sleep(0.01)
            await remote.Tag.objects.acreate(name=f"{name}-2")
            if name == "left":
                raise Left
        return first.pk

    async def both():
        return await asyncio.gather(task("a"), task("left"), task("b"), return_exceptions=True)

    first, left, second = run(both)
    assert len(sent) == 2
    assert isinstance(left, Left)
    assert {first, second} == set(local.Tag.objects.filter(name__in="ab").values_list("pk", flat=True))
    assert not local.Tag.objects.filter(name__startswith="left").exists()


def test_a_block_within_a_block(local, remote, sent):
    ran = []

    async def block():
        async with django_rpc.atomic("rpc"):
            await remote.Tag.objects.acreate(name="outer")
            transaction.on_commit(lambda: ran.append(len(sent)), using="rpc")
            transaction.on_commit(lambda: 1 / 0, using="rpc", robust=True)
            with contextlib.suppress(Left):
                async with django_rpc.atomic("rpc"):
                    await remote.Tag.objects.acreate(name="inner")
                    transaction.on_commit(lambda: ran.append("never"), using="rpc")
                    raise Left
            with pytest.raises(RuntimeError, match="durable"):
                async with django_rpc.atomic("rpc", durable=True):
                    pass
            assert ran == []

    run(block)
    assert (len(sent), ran) == (1, [1])
    assert local.Tag.objects.filter(name="outer").exists()
    assert not local.Tag.objects.filter(name="inner").exists()


def test_a_decorated_coroutine(local, remote, sent):
    @django_rpc.atomic("rpc")
    async def tags(*names):
        return [await remote.Tag.objects.acreate(name=name) for name in names]

    async def call():
        return await tags("a", "b")

    assert [tag.name for tag in run(call)] == ["a", "b"]
    assert len(sent) == 1
