from django.apps import AppConfig


class ShopClientConfig(AppConfig):
    name = "django_rpc.demo.client.shop"
    label = "shop_client"
    verbose_name = "Shop"
    default_auto_field = "django.db.models.BigAutoField"
