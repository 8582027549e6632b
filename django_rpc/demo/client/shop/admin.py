"""The shop in the admin of another service: written as for local models.

``RpcModelAdmin`` in place of ``ModelAdmin`` sends a change list's questions as one message; the small lists do without.
"""

from django.contrib import admin

from django_rpc.contrib.admin import RpcModelAdmin

from .models import AuditEntry, Category, Customer, Line, Order, Product, Profile, Tag


class LineInline(admin.TabularInline):
    model = Line
    extra = 1
    autocomplete_fields = ["product"]


class ProfileInline(admin.StackedInline):
    model = Profile


@admin.register(Order)
class OrderAdmin(RpcModelAdmin):
    list_display = ["number", "customer", "status", "total", "created"]
    list_filter = ["status", "customer__tier"]
    search_fields = ["number", "customer__name"]
    date_hierarchy = "created"
    list_per_page = 20
    actions = ["mark_paid", "cancel"]
    autocomplete_fields = ["customer"]
    inlines = [LineInline]

    @admin.action(description="Mark selected orders as paid")
    def mark_paid(self, request, queryset):
        changed = queryset.update(status=Order.Status.PAID)
        self.message_user(request, f"{changed} orders are paid.")

    @admin.action(description="Cancel selected orders")
    def cancel(self, request, queryset):
        changed = queryset.update(status=Order.Status.CANCELLED)
        self.message_user(request, f"{changed} orders are cancelled.")


@admin.register(Customer)
class CustomerAdmin(RpcModelAdmin):
    list_display = ["name", "email", "tier", "city", "active", "referred_by"]
    list_filter = ["tier", "active", "city"]
    list_editable = ["tier"]
    search_fields = ["name", "email"]
    ordering = ["name", "pk"]
    autocomplete_fields = ["referred_by"]
    inlines = [ProfileInline]


@admin.register(Product)
class ProductAdmin(RpcModelAdmin):
    list_display = ["sku", "title", "category", "price"]
    list_filter = ["category", "tags"]
    search_fields = ["sku", "title"]
    filter_horizontal = ["tags"]


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ["title", "parent"]


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):
    search_fields = ["name"]


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):
    """Only read, as the service has it."""

    list_display = ["at", "action", "model", "object_pk"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False
