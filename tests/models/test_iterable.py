"""The fast path makes the instances that Django makes; it is not used for customized models."""

from __future__ import annotations

import pytest
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init

from django_rpc.models.iterable import MirrorIterable

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def both(queryset):
    """The instances of a queryset, made by us and made by Django."""
    other = queryset._chain()
    other._iterable_class = ModelIterable
    return list(queryset), list(other)


@pytest.mark.parametrize("names", [(), ("name", "credit")])
def test_same_instances(remote, shop_data, names):
    queryset = remote.Customer.objects.order_by("id")
    ours, djangos = both(queryset.only(*names) if names else queryset)
    assert len(ours) == 40
    for one, other in zip(ours, djangos, strict=True):
        assert {**one.__dict__, "_state": None} == {**other.__dict__, "_state": None}
        assert list(one.__dict__) == list(other.__dict__)
        assert _state(one) == _state(other)
        assert one.get_deferred_fields() == other.get_deferred_fields()


def _state(instance):
    """The attributes that Django reads. Django makes the cache of fields, and since 6.1 the fetch mode, with the
    instance.
    """
    return {"fields_cache": {}, **vars(instance._state), "fetch_mode": getattr(instance._state, "fetch_mode", None)}


def test_post_init_is_sent_for_every_instance(remote, shop_data):
    heard = []

    def listen(instance, **kwargs):
        heard.append(instance.pk)

    post_init.connect(listen, sender=remote.Tag)
    try:
        tags = list(remote.Tag.objects.all())
    finally:
        post_init.disconnect(listen, sender=remote.Tag)
    assert heard == [tag.pk for tag in tags]


def test_custom_init_is_called(remote, shop_data):
    class Loud(remote.Tag):
        class Meta:
            proxy = True
            app_label = "iterable_tests"

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loud = self.name.upper()

    first = Loud.objects.order_by("id")[0]
    assert first.loud == first.name.upper()


def test_plain_instances_use_fast_path(remote, shop_data, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(ModelIterable, "__iter__", refuse)
    assert remote.Customer.objects.all()._iterable_class is MirrorIterable
    assert len(remote.Customer.objects.all()) == 40
