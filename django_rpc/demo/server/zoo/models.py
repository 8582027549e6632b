"""Keys, column names, inheritance, constraints and relations of every kind."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from .fields import Everything, Filled, Note, Stamped

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
    "Stamped",
    "TaggedItem",
    "UuidKey",
]


class SmallKey(models.Model):
    id = models.SmallAutoField(primary_key=True)
    name = models.CharField(max_length=60)


class PlainKey(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=60)


class UuidKey(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)

    def __str__(self):
        return self.name


class NaturalKey(models.Model):
    code = models.CharField(max_length=20, primary_key=True)
    title = models.CharField(max_length=60)

    def __str__(self):
        return self.code


class NoteOnKey(models.Model):
    """Foreign keys to keys that are not integers."""

    text = models.CharField(max_length=60, blank=True, default="")
    by_uuid = models.ForeignKey(UuidKey, models.CASCADE, null=True, blank=True, related_name="notes")
    by_code = models.ForeignKey(NaturalKey, models.SET_NULL, null=True, blank=True, related_name="notes")


class Currency(models.Model):
    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=60)

    def __str__(self):
        return self.code


class Price(models.Model):
    currency = models.ForeignKey(
        Currency, models.CASCADE, to_field="code", related_name="prices", db_column="currency_code"
    )
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class ColumnNames(models.Model):
    """The database's names differ from Python's; a client never sees them."""

    first = models.CharField(max_length=60, db_column="col_1")
    second = models.IntegerField(db_column="CamelCase", default=0)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children", db_column="up")

    class Meta:
        db_table = "zoo_strange_table"


class Place(models.Model):
    name = models.CharField(max_length=60)
    address = models.CharField(max_length=100, blank=True, default="")
    open = models.BooleanField(default=True)

    def __str__(self):
        return self.name


class Restaurant(Place):
    """Multi-table inheritance: a row here and a row of Place."""

    serves_pizza = models.BooleanField(default=False)
    rating = models.FloatField(null=True, blank=True)


class OpenPlaceManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(open=True)


class OpenPlace(Place):
    objects = OpenPlaceManager()

    class Meta:
        proxy = True


class Seat(models.Model):
    row = models.CharField(max_length=2)
    number = models.PositiveSmallIntegerField()

    class Meta:
        unique_together = [("row", "number")]
        ordering = ["row", "number"]

    def __str__(self):
        return f"{self.row}{self.number}"


class Booking(models.Model):
    seat = models.ForeignKey(Seat, models.PROTECT, related_name="bookings")
    day = models.DateField()
    name = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seat", "day"], name="zoo_booking_seat_once_a_day"),
        ]


class Person(models.Model):
    name = models.CharField(max_length=60)
    friends = models.ManyToManyField("self", blank=True)
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers", blank=True)

    def __str__(self):
        return self.name


class TaggedItem(models.Model):
    tag = models.SlugField()
    content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
    object_id = models.PositiveBigIntegerField()
    content_object = GenericForeignKey("content_type", "object_id")

    class Meta:
        indexes = [models.Index(fields=["content_type", "object_id"])]

    def __str__(self):
        return self.tag


class Bookmark(models.Model):
    url = models.URLField()
    tags = GenericRelation(TaggedItem, related_query_name="bookmark")

    def __str__(self):
        return self.url
