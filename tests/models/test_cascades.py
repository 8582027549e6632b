"""Deletions across databases: local rows with the row of a mirror, and rows of a mirror with a local row."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import ProtectedError, RestrictedError
from django.db.models.signals import post_delete

import django_rpc
from django_rpc.models import RpcModel

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def defined(remote):
    """``defined(make)``: the class that ``make`` defines in an installed app, for this test alone."""
    label, known = remote.Order._meta.app_label, dict(apps.all_models[remote.Order._meta.app_label])

    def define(make):
        model = make(label)
        apps.clear_cache()
        return model

    yield define
    for name in apps.all_models[label].keys() - known.keys():
        del apps.all_models[label][name]
    apps.clear_cache()


@pytest.fixture
def remark(defined, remote):
    """``remark(on_delete)``: a local model with a foreign key to orders of the service, with its table."""

    def make(on_delete):
        def define(label):
            class Remark(models.Model):
                order = models.ForeignKey(remote.Order, on_delete, db_constraint=False, null=True)

                class Meta:
                    app_label = label
                    db_table = "local_remark"

            return Remark

        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE local_remark (id integer PRIMARY KEY AUTOINCREMENT, order_id bigint NULL)")
        return defined(define)

    return make


def test_local_rows_are_deleted_with_service_row(local, remote, shop_data, remark):
    model = remark(models.CASCADE)
    one, other, third = remote.Order.objects.order_by("pk")[:3]
    for order in (one, one, other, third):
        model.objects.create(order=order)
    count, labels = remote.Order.objects.get(pk=one.pk).delete()
    assert labels[model._meta.label] == 2
    assert count == sum(labels.values())
    assert labels[remote.Order._meta.label] == 1
    assert model.objects.count() == 2
    assert remote.Order.objects.filter(pk=other.pk).delete()[1][model._meta.label] == 1
    with django_rpc.atomic("rpc"):
        third.delete()
        assert model.objects.count() == 1
    assert model.objects.count() == 0
    assert not local.Order.objects.filter(pk__in=[one.pk, other.pk]).exists()


def test_local_rows_lose_their_key_or_stay(remote, shop_data, remark):
    model = remark(models.SET_NULL)
    order = remote.Order.objects.first()
    model.objects.create(order=order)
    remote.Order.objects.filter(pk=order.pk).delete()
    assert model.objects.get().order_id is None


@pytest.mark.parametrize(
    ("on_delete", "error"),
    [(models.PROTECT, ProtectedError), (models.RESTRICT, RestrictedError)],
    ids=["protect", "restrict"],
)
def test_local_rows_protect_the_row_of_a_service(local, remote, shop_data, remark, on_delete, error, messages):
    model = remark(on_delete)
    order = remote.Order.objects.first()
    kept = model.objects.create(order=order)
    with messages() as sent, pytest.raises(error) as caught:
        order.delete()
    assert len(sent) == 0
    assert set(caught.value.args[1]) == {kept}
    with pytest.raises(error):
        remote.Order.objects.filter(pk=order.pk).delete()
    assert local.Order.objects.filter(pk=order.pk).exists()


@pytest.fixture
def tagged(defined, local):
    """A mirror with a foreign key to the local ContentType, which Django would not delete by one statement."""

    def define(label):
        class Tagged(RpcModel):
            tag = models.SlugField()
            content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
            object_id = models.PositiveBigIntegerField()

            class Rpc:
                app_label, name = "zoo", "TaggedItem"

            class Meta:
                app_label = label

        class Part(RpcModel):
            whole = models.ForeignKey(Tagged, models.CASCADE)

            class Rpc:
                app_label, name = "zoo", "Nothing"

            class Meta:
                app_label = label

        return Tagged

    return defined(define)


@pytest.mark.parametrize("heard", [False, True])
def test_service_rows_are_deleted_with_local_row(local, remote, tagged, heard):
    """Django ran DELETE on the mirror's table, which is not in its database."""
    bookmark = local.Bookmark.objects.create(url="https://example.org")
    local.TaggedItem.objects.create(tag="a", content_object=bookmark)
    local_type = ContentType.objects.get_for_model(remote.Bookmark)
    assert tagged.objects.filter(content_type=local_type).count() == 1
    told = []
    receive = lambda sender, **kwargs: told.append(sender)  # noqa: E731
    if heard:
        post_delete.connect(receive, sender=tagged)
    try:
        ContentType.objects.filter(pk=local_type.pk).delete()
    finally:
        post_delete.disconnect(receive, sender=tagged)
        ContentType.objects.clear_cache()
    assert not local.TaggedItem.objects.exists()
    assert told == [tagged] * heard
