"""Mirrors of the shop's models: the exposed fields, under the names of the server.

``CustomerCard`` and ``OrderCard`` are second, smaller mirrors with the computed fields. A client may declare several
mirrors of a model, each with the fields that it needs.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from django_rpc.models import RpcModel


class Customer(RpcModel):
    class Rpc:
        app_label = "shop"

    class Tier(models.TextChoices):
        BASIC = "basic", "Basic"
        PLUS = "plus", "Plus"
        VIP = "vip", "VIP"

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    tier = models.CharField(max_length=10, choices=Tier.choices, default=Tier.BASIC)
    city = models.CharField(max_length=60)
    joined = models.DateField()
    credit = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    active = models.BooleanField(default=True)
    notes = models.TextField(null=True, blank=True)
    referred_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="referrals")

    def __str__(self):
        return self.name


class CustomerCard(RpcModel):
    """A customer as a list shows it; the server computes the last two."""

    class Rpc:
        app_label = "shop"
        name = "Customer"

    name = models.CharField(max_length=100)
    display_name = models.CharField(max_length=200, editable=False)
    order_count = models.IntegerField(editable=False)


class Profile(RpcModel):
    class Rpc:
        app_label = "shop"

    customer = models.OneToOneField(Customer, models.CASCADE, related_name="profile")
    bio = models.TextField(blank=True, default="")
    website = models.URLField(blank=True, default="")

    def __str__(self):
        return f"profile of customer {self.customer_id}"


class Category(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        verbose_name_plural = "categories"
        ordering = ["title"]

    title = models.CharField(max_length=60, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="parts")

    def __str__(self):
        return self.title


class Tag(RpcModel):
    class Rpc:
        app_label = "shop"

    name = models.SlugField(unique=True)

    def __str__(self):
        return self.name


class Product(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        ordering = ["sku"]

    sku = models.CharField("SKU", max_length=20, unique=True)
    title = models.CharField(max_length=120)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    weight = models.FloatField(default=0)
    attributes = models.JSONField(default=dict, blank=True)
    category = models.ForeignKey(Category, models.PROTECT, related_name="products")
    tags = models.ManyToManyField(Tag, related_name="products", blank=True)

    def __str__(self):
        return self.title


class Order(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        ordering = ["-created", "-id"]
        get_latest_by = "created"

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

    def __str__(self):
        return self.number


class OrderCard(RpcModel):
    """An order with the property that the server computes."""

    class Rpc:
        app_label = "shop"
        name = "Order"

    number = models.CharField(max_length=32)
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    is_large = models.BooleanField(editable=False)


class Line(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order", "product"], name="line_once_an_order")]

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT, related_name="lines")
    quantity = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    def __str__(self):
        return f"{self.quantity} of product {self.product_id}"


class AuditEntry(RpcModel):
    class Rpc:
        app_label = "shop"

    class Meta:
        verbose_name_plural = "audit entries"

    model = models.CharField(max_length=60)
    object_pk = models.CharField(max_length=40)
    action = models.CharField(max_length=10)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self):
        return f"{self.action} {self.model} {self.object_pk}"
