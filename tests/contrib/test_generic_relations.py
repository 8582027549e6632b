"""Generic relations between mirrors, and from a local model to a mirror."""

from __future__ import annotations

import pickle

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.forms import generic_inlineformset_factory
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Count, Prefetch
from django.db.utils import NotSupportedError

from django_rpc import agather, compute, gather
from django_rpc.models import content_types

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def tagged(local):
    """Two bookmarks and a seat at the service, with tags."""
    one, two = (local.Bookmark.objects.create(url=f"https://example.com/{name}") for name in ("one", "two"))
    seat = local.Seat.objects.create(row="A", number=1)
    for target, tags in ((one, "red blue"), (two, "red"), (seat, "front")):
        for tag in tags.split():
            local.TaggedItem.objects.create(tag=tag, content_object=target)
    return one, two, seat


def test_a_generic_relation_is_read_and_followed(tagged, remote, messages):
    one = remote.Bookmark.objects.get(pk=tagged[0].pk)
    assert one.tags.first().content_type  # a process requests the service's keys of content types once
    with messages() as sent:
        assert sorted(item.tag for item in one.tags.all()) == ["blue", "red"]
    assert len(sent) == 1
    assert remote.TaggedItem.objects.get(tag="blue").content_object == one
    assert remote.TaggedItem.objects.get(tag="front").content_object == remote.Seat.objects.get()


def test_filters_and_aggregates_through_it(tagged, remote):
    assert [b.pk for b in remote.Bookmark.objects.filter(tags__tag="blue")] == [tagged[0].pk]
    assert [i.tag for i in remote.TaggedItem.objects.filter(bookmark__url__endswith="two")] == ["red"]
    counts = remote.Bookmark.objects.annotate(n=Count("tags")).order_by("pk").values_list("n", flat=True)
    assert list(counts) == [2, 1]


def test_by_content_type(tagged, remote):
    kind = ContentType.objects.get_for_model(remote.Bookmark)
    assert kind.app_label == remote.Bookmark._meta.app_label
    assert remote.TaggedItem.objects.filter(content_type=kind).count() == 3
    assert {item.content_type for item in remote.TaggedItem.objects.filter(content_type=kind)} == {kind}


def test_prefetching(tagged, remote, messages):
    assert remote.TaggedItem.objects.first().content_type
    with messages() as sent:
        bookmarks = list(remote.Bookmark.objects.order_by("pk").prefetch_related("tags"))
        assert [sorted(item.tag for item in b.tags.all()) for b in bookmarks] == [["blue", "red"], ["red"]]
    assert len(sent) <= 2
    with messages() as sent:
        items = list(remote.TaggedItem.objects.order_by("pk").prefetch_related("content_object"))
        assert [type(item.content_object) for item in items] == [remote.Bookmark] * 3 + [remote.Seat]
    assert len(sent) <= 3


async def awaited(awaitable):
    return await awaitable


WAYS = {
    "delayed": lambda query: query.delayed().compute(),
    "compute": lambda query: list(compute(query)[0]),
    "compute delayed": lambda query: compute(query.delayed())[0],
    "gather": lambda query: list(gather(query.future().submit())[0]),
    "first": lambda query: [query.delayed().first().compute()],
    "item": lambda query: [query.delayed()[0].compute()],
    "slice": lambda query: query.delayed()[:3].compute(),
    "in_bulk": lambda query: list(query.order_by().delayed().in_bulk().compute().values()),
    "map": lambda query: query.delayed().map(lambda row: row).compute(),
    "submit": lambda query: query.delayed().submit().result(),
    "await delayed": lambda query: async_to_sync(awaited)(query.delayed()),
    "await submit": lambda query: async_to_sync(awaited)(query.submit()),
    "await submit delayed": lambda query: async_to_sync(awaited)(query.delayed().submit()),
    "agather": lambda query: async_to_sync(agather)(query.delayed())[0],
    "agather submit": lambda query: async_to_sync(agather)(query.submit())[0],
    "pickle": lambda query: pickle.loads(pickle.dumps(query.delayed())).compute(),
}


@pytest.mark.parametrize("way", WAYS)
def test_prefetching_of_a_generic_foreign_key(tagged, remote, messages, way):
    assert remote.TaggedItem.objects.first().content_type
    query = remote.TaggedItem.objects.order_by("pk").prefetch_related("content_object")
    with messages() as sent:
        items = WAYS[way](query)
    assert len(sent) <= 3  # the items, and the rows of each content type
    expected = [tagged[0].pk, tagged[0].pk, tagged[1].pk, tagged[2].pk][: len(items)]
    with messages() as sent:
        assert [item.content_object.pk for item in items] == expected
    assert len(sent) == 0


def test_prefetching_of_a_generic_foreign_key_at_the_second_level(tagged, remote, messages):
    items = Prefetch("tags", remote.TaggedItem.objects.order_by("pk").prefetch_related("content_object"))
    for lookup in ("tags__content_object", items):
        bookmark = remote.Bookmark.objects.order_by("pk").prefetch_related(lookup).delayed().first().compute()
        with messages() as sent:
            assert [item.content_object for item in bookmark.tags.all()] == [bookmark, bookmark]
        assert len(sent) == 0


def test_prefetching_of_a_generic_foreign_key_by_a_delayed_is_refused(tagged, remote):
    with pytest.raises(NotSupportedError, match=r"'content_object' is a generic foreign key.*before delayed\(\)"):
        remote.TaggedItem.objects.delayed().prefetch_related("content_object").compute()


def test_generic_prefetch(tagged, remote):
    prefetch = pytest.importorskip("django.contrib.contenttypes.prefetch", reason="since Django 5.0")
    given = prefetch.GenericPrefetch("content_object", [remote.Bookmark.objects.only("url"), remote.Seat.objects.all()])
    items = list(remote.TaggedItem.objects.order_by("pk").prefetch_related(given))
    expected = [tagged[0].pk, tagged[0].pk, tagged[1].pk, tagged[2].pk]
    assert [item.content_object.pk for item in items] == expected
    items = remote.TaggedItem.objects.order_by("pk").prefetch_related(given).delayed().compute()
    assert [item.content_object.pk for item in items] == expected


def test_writes(tagged, remote, local):
    two = remote.Bookmark.objects.get(pk=tagged[1].pk)
    two.tags.create(tag="green")
    remote.TaggedItem.objects.create(tag="black", content_object=two)
    assert set(local.Bookmark.objects.get(pk=two.pk).tags.values_list("tag", flat=True)) == {"red", "green", "black"}
    item = remote.TaggedItem.objects.get(tag="blue")
    item.content_object = two
    item.save()
    assert local.TaggedItem.objects.get(tag="blue").content_object == tagged[1]
    two.tags.remove(item)
    assert not local.TaggedItem.objects.filter(tag="blue").exists()
    two.tags.set([remote.TaggedItem.objects.get(tag="black")])
    assert list(local.Bookmark.objects.get(pk=two.pk).tags.values_list("tag", flat=True)) == ["black"]
    two.tags.clear()
    assert local.TaggedItem.objects.filter(tag="black").count() == 0


def test_a_generic_inline_formset(tagged, remote, local):
    formset = generic_inlineformset_factory(
        remote.TaggedItem, ct_field="content_type", fk_field="object_id", fields=["tag"], extra=1
    )
    two = remote.Bookmark.objects.get(pk=tagged[1].pk)
    prefix = formset.get_default_prefix()
    item = two.tags.get()
    data = {
        f"{prefix}-TOTAL_FORMS": 2,
        f"{prefix}-INITIAL_FORMS": 1,
        f"{prefix}-0-id": item.pk,
        f"{prefix}-0-tag": "scarlet",
        f"{prefix}-1-tag": "new",
    }
    bound = formset(data, instance=two)
    assert bound.is_valid(), bound.errors
    bound.save()
    assert set(local.Bookmark.objects.get(pk=two.pk).tags.values_list("tag", flat=True)) == {"scarlet", "new"}


def test_a_local_model_points_to_a_mirror(tagged, remote, django_user_model):
    """The admin's log, in the database of the client."""
    user = django_user_model.objects.create(username="ada")
    one = remote.Bookmark.objects.get(pk=tagged[0].pk)
    kind = ContentType.objects.get_for_model(one)
    entry = LogEntry.objects.create(
        user=user, content_type=kind, object_id=one.pk, object_repr=str(one), action_flag=CHANGE
    )
    assert entry.get_edited_object() == one
    assert kind.model_class() is remote.Bookmark


def test_content_type_keys_are_requested_once(tagged, remote, messages):
    content_types._known.clear()
    with messages() as sent:
        assert len({item.content_type_id for item in remote.TaggedItem.objects.all()}) == 2
    assert [entry["sql"] for entry in sent] == ["TaggedItem.objects", "schema()"]
    with messages() as sent:
        list(remote.TaggedItem.objects.all())
    assert len(sent) == 1


def test_generic_relation_to_hidden_row_is_refused(tagged, remote, local, django_user_model):
    users = ContentType.objects.get_for_model(django_user_model)
    with pytest.raises(ValidationError, match="does not exist"):
        remote.TaggedItem.objects.create(tag="x", content_type_id=users.pk, object_id=1)
    with pytest.raises(ValidationError, match="does not exist"):
        remote.TaggedItem.objects.filter(tag="red").update(content_type=99999)
    assert not local.TaggedItem.objects.filter(tag="x").exists()
