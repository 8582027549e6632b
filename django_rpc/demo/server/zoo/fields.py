"""Every type of field that Django has, on one model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from django_rpc.demo import environment

HAS_PILLOW = find_spec("PIL") is not None
HAS_GENERATED = hasattr(models, "GeneratedField") and environment.everywhere_since(5, 0)


def here():
    """A callable path for FilePathField, so that no folder of a machine is stored anywhere."""
    return str(Path(__file__).parent)


class Everything(models.Model):
    """All fields are nullable (text is blank), so that a test sets only the fields that it checks."""

    class Level(models.IntegerChoices):
        LOW = 1
        HIGH = 2

    char = models.CharField(max_length=100, blank=True, default="")
    text = models.TextField(blank=True, default="")
    slug = models.SlugField(blank=True, default="")
    email = models.EmailField(blank=True, default="")
    url = models.URLField(blank=True, default="")
    nullable_char = models.CharField(max_length=100, null=True, blank=True)
    integer = models.IntegerField(null=True, blank=True)
    small_integer = models.SmallIntegerField(null=True, blank=True)
    big_integer = models.BigIntegerField(null=True, blank=True)
    positive_integer = models.PositiveIntegerField(null=True, blank=True)
    positive_small_integer = models.PositiveSmallIntegerField(null=True, blank=True)
    positive_big_integer = models.PositiveBigIntegerField(null=True, blank=True)
    level = models.IntegerField(choices=Level.choices, null=True, blank=True)
    float = models.FloatField(null=True, blank=True)
    decimal = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    boolean = models.BooleanField(default=False)
    nullable_boolean = models.BooleanField(null=True, blank=True)
    date = models.DateField(null=True, blank=True)
    datetime = models.DateTimeField(null=True, blank=True)
    time = models.TimeField(null=True, blank=True)
    duration = models.DurationField(null=True, blank=True)
    uuid = models.UUIDField(null=True, blank=True)
    binary = models.BinaryField(null=True, blank=True)
    json = models.JSONField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    file_path = models.FilePathField(path=here, max_length=255, null=True, blank=True)
    file = models.FileField(upload_to="zoo", null=True, blank=True)
    if HAS_PILLOW:
        image = models.ImageField(upload_to="zoo", null=True, blank=True)
    if HAS_GENERATED:
        doubled = models.GeneratedField(
            expression=models.F("integer") * 2,
            output_field=models.BigIntegerField(null=True),
            db_persist=True,
        )

    def __str__(self):
        return self.char


class Stamped(models.Model):
    """An abstract base with fields that the server fills."""

    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Note(Stamped):
    title = models.CharField(max_length=60)
    slug = models.SlugField(blank=True)

    class Meta:
        get_latest_by = "created"

    def __str__(self):
        return self.title

    def save(self, *args, **kwargs):
        """Derive the slug; the client has it on its instance after its save()."""
        self.slug = self.slug or self.title.lower().replace(" ", "-")
        super().save(*args, **kwargs)


class Filled(models.Model):
    """Fields that the database fills, if Django can declare it (5.0)."""

    name = models.CharField(max_length=60)
    if HAS_GENERATED:
        number = models.IntegerField(db_default=7)
        stamp = models.DateTimeField(db_default=Now())
    else:
        number = models.IntegerField(default=7)
        stamp = models.DateTimeField(default=timezone.now)
