"""Mirrors of the zoo. Column and table names are known only to the server, and are not repeated."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from django_rpc.models import RpcModel

from .fields import Everything, Filled, Note

__all__ = [
    "Booking",
    "Bookmark",
    "ColumnNames",
    "Currency",
    "Everything",
    "Filled",
    "NaturalKey",
    "Note",
    "NoteOnKey",
    "OpenPlace",
    "Person",
    "Place",
    "PlainKey",
    "Price",
    "Restaurant",
    "Seat",
    "SmallKey",
    "TaggedItem",
    "UuidKey",
]


class SmallKey(RpcModel):
    class Rpc:
        app_label = "zoo"

    id = models.SmallAutoField(primary_key=True)
    name = models.CharField(max_length=60)


class PlainKey(RpcModel):
    class Rpc:
        app_label = "zoo"

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=60)


class UuidKey(RpcModel):
    class Rpc:
        app_label = "zoo"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)


class NaturalKey(RpcModel):
    class Rpc:
        app_label = "zoo"

    code = models.CharField(max_length=20, primary_key=True)
    title = models.CharField(max_length=60)


class NoteOnKey(RpcModel):
    class Rpc:
        app_label = "zoo"

    text = models.CharField(max_length=60, blank=True, default="")
    by_uuid = models.ForeignKey(UuidKey, models.CASCADE, null=True, blank=True, related_name="notes")
    by_code = models.ForeignKey(NaturalKey, models.SET_NULL, null=True, blank=True, related_name="notes")


class Currency(RpcModel):
    class Rpc:
        app_label = "zoo"

    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=60)


class Price(RpcModel):
    class Rpc:
        app_label = "zoo"

    currency = models.ForeignKey(Currency, models.CASCADE, to_field="code", related_name="prices")
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class ColumnNames(RpcModel):
    class Rpc:
        app_label = "zoo"

    first = models.CharField(max_length=60)
    second = models.IntegerField(default=0)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")


class Place(RpcModel):
    class Rpc:
        app_label = "zoo"

    name = models.CharField(max_length=60)
    address = models.CharField(max_length=100, blank=True, default="")
    open = models.BooleanField(default=True)

    def __str__(self):
        return self.name


class Restaurant(Place):
    """Multi-table inheritance between mirrors, as between the server's models."""

    class Rpc:
        app_label = "zoo"

    serves_pizza = models.BooleanField(default=False)
    rating = models.FloatField(null=True, blank=True)


class OpenPlace(RpcModel):
    """A proxy on the server, with a manager that filters; for a client a model like others."""

    class Rpc:
        app_label = "zoo"

    name = models.CharField(max_length=60)
    open = models.BooleanField(default=True)


class Seat(RpcModel):
    class Rpc:
        app_label = "zoo"

    class Meta:
        unique_together = [("row", "number")]
        ordering = ["row", "number"]

    row = models.CharField(max_length=2)
    number = models.PositiveSmallIntegerField()


class Booking(RpcModel):
    class Rpc:
        app_label = "zoo"

    class Meta:
        constraints = [models.UniqueConstraint(fields=["seat", "day"], name="booking_seat_once_a_day")]

    seat = models.ForeignKey(Seat, models.PROTECT, related_name="bookings")
    day = models.DateField()
    name = models.CharField(max_length=60)


class Person(RpcModel):
    class Rpc:
        app_label = "zoo"

    name = models.CharField(max_length=60)
    friends = models.ManyToManyField("self", blank=True)
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers", blank=True)


class TaggedItem(RpcModel):
    class Rpc:
        app_label = "zoo"

    tag = models.SlugField()
    # The client's ContentType: between services it is sent as (app_label, model).
    content_type = models.ForeignKey(ContentType, models.DO_NOTHING, related_name="+")
    object_id = models.PositiveBigIntegerField()
    content_object = GenericForeignKey("content_type", "object_id")


class Bookmark(RpcModel):
    class Rpc:
        app_label = "zoo"

    url = models.URLField()
    tags = GenericRelation(TaggedItem, related_query_name="bookmark")
