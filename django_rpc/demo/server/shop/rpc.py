"""The shop's exposure: permissions of clients by model."""

from decimal import Decimal

from django_rpc.server import ModelRpc, site

from .models import AuditEntry, Category, Customer, Line, Order, Product, Profile, Tag

ALL = {"read", "create", "update", "delete"}


@site.function(reads_only=True)
def basket_total(products, discount=0):
    """Return the sum of the prices of these products, less a discount in percent."""
    return sum((product.price for product in products), Decimal(0)) * (100 - discount) / 100


@site.function(permission=lambda request: request.client != "guest")
def rename_tag(tag, name):
    """The tag under its new name."""
    tag.name = name
    tag.save()
    return tag


@site.register(Customer)
class CustomerRpc(ModelRpc):
    fields = [
        "id",
        "name",
        "email",
        "tier",
        "city",
        "joined",
        "credit",
        "active",
        "notes",
        "referred_by",
        "display_name",  # a method of the model
        "order_count",  # a method of this class
    ]
    operations = ALL
    methods = ["top_spenders"]

    def order_count(self, obj):
        return obj.orders.count()


@site.register(Profile)
class ProfileRpc(ModelRpc):
    fields = "__all__"
    operations = ALL


@site.register(Category)
class CategoryRpc(ModelRpc):
    fields = "__all__"
    operations = ALL


@site.register(Tag)
class TagRpc(ModelRpc):
    fields = "__all__"
    operations = ALL


@site.register(Product)
class ProductRpc(ModelRpc):
    fields = "__all__"
    operations = ALL


@site.register(Order)
class OrderRpc(ModelRpc):
    fields = [
        "id",
        "customer",
        "number",
        "status",
        "created",
        "total",
        "products",
        "is_large",  # a property of the model
    ]
    operations = ALL


@site.register(Line)
class LineRpc(ModelRpc):
    fields = "__all__"
    operations = ALL


@site.register(AuditEntry)
class AuditEntryRpc(ModelRpc):
    """Read-only, which is the default."""

    fields = "__all__"
