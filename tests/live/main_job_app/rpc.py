from django_rpc.demo.server.shop.models import Customer
from django_rpc.demo.server.shop.rpc import CustomerRpc
from django_rpc.server import public_error, site


@public_error
class StockExhausted(Exception):
    """An exception that no client knows."""


site.unregister(Customer)


@site.register(Customer)
class ScopedCustomerRpc(CustomerRpc):
    methods = ["top_spenders", "explode"]

    def get_queryset(self, request):
        return super().get_queryset(request).filter(tier="vip")

    def explode(self, request, queryset):
        raise StockExhausted(f"{queryset.count()} customers, nothing to sell")
