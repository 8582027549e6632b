"""The models of the shop."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

LARGE_ORDER = 500


class CustomerQuerySet(models.QuerySet):
    def top_spenders(self, limit=5):
        """The customers with the largest sum of orders, as plain dictionaries."""
        rows = (
            self.annotate(spent=models.Sum("orders__total"))
            .filter(spent__isnull=False)
            .order_by("-spent", "pk")
            .values("id", "name", "spent")
        )
        return list(rows[:limit])


class Customer(models.Model):
    class Tier(models.TextChoices):
        BASIC = "basic", "Basic"
        PLUS = "plus", "Plus"
        VIP = "vip", "VIP"

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    tier = models.CharField(max_length=10, choices=Tier.choices, default=Tier.BASIC)
    city = models.CharField(max_length=60, db_index=True)
    joined = models.DateField()
    credit = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    active = models.BooleanField(default=True)
    notes = models.TextField(null=True, blank=True)
    # Not exposed: no client may read it, sort or filter by it, or infer it.
    secret_note = models.TextField(blank=True, default="")
    referred_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="referrals")

    objects = CustomerQuerySet.as_manager()

    class Meta:
        verbose_name = "customer"
        indexes = [models.Index(fields=["tier", "city"])]

    def __str__(self):
        return self.name

    def display_name(self):
        """The name as the shop prints it on an invoice."""
        return f"{self.name} ({self.get_tier_display()}, {self.city})"


class Profile(models.Model):
    customer = models.OneToOneField(Customer, models.CASCADE, related_name="profile")
    bio = models.TextField(blank=True, default="")
    website = models.URLField(blank=True, default="")

    def __str__(self):
        return f"Profile of {self.customer_id}"


class Category(models.Model):
    title = models.CharField(max_length=60, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="parts")

    class Meta:
        verbose_name_plural = "categories"
        ordering = ["title"]

    def __str__(self):
        return self.title


class Tag(models.Model):
    name = models.SlugField(unique=True)

    def __str__(self):
        return self.name


class Product(models.Model):
    sku = models.CharField("SKU", max_length=20, unique=True)
    title = models.CharField(max_length=120)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    weight = models.FloatField(default=0)
    attributes = models.JSONField(default=dict, blank=True)
    category = models.ForeignKey(Category, models.PROTECT, related_name="products")
    tags = models.ManyToManyField(Tag, related_name="products", blank=True)

    class Meta:
        ordering = ["sku"]

    def __str__(self):
        return self.title


class Order(models.Model):
    class Status(models.TextChoices):
        NEW = "new", "New"
        PAID = "paid", "Paid"
        SHIPPED = "shipped", "Shipped"
        CANCELLED = "cancelled", "Cancelled"

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    number = models.CharField(max_length=32, unique=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.NEW)
    created = models.DateTimeField(default=timezone.now)
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    products = models.ManyToManyField(Product, through="Line", related_name="orders")

    class Meta:
        ordering = ["-created", "-id"]
        get_latest_by = "created"
        indexes = [models.Index(fields=["status", "created"])]

    def __str__(self):
        return self.number

    @property
    def is_large(self):
        """Return True if the sales department should telephone."""
        return self.total >= LARGE_ORDER

    def save(self, *args, **kwargs):
        """Fill ``number`` where it is empty: only the server knows how orders are numbered."""
        if not self.number:
            self.number = f"{self.created:%Y%m%d}-{secrets.token_hex(4)}"
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {"number", *kwargs["update_fields"]}
        super().save(*args, **kwargs)


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT, related_name="lines")
    quantity = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="shop_line_once_an_order"),
        ]

    def __str__(self):
        return f"{self.quantity} x {self.product_id}"


class AuditEntry(models.Model):
    """A record of each change, written by the signal below, and only read by clients."""

    model = models.CharField(max_length=60)
    object_pk = models.CharField(max_length=40)
    action = models.CharField(max_length=10)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "audit entries"

    def __str__(self):
        return f"{self.action} {self.model} {self.object_pk}"


@receiver(post_save, sender=Order)
def write_audit_entry(sender, instance, created, raw=False, using=None, **kwargs):
    """Note each saved order. Shows that a write from a client runs the server's signals."""
    if raw:
        return
    AuditEntry.objects.using(using).create(
        model="shop.Order", object_pk=str(instance.pk), action="create" if created else "update"
    )
