from django.apps import AppConfig


class ShopClientConfig(AppConfig):
    name = "django_rpc.demo.client.shop"
    label = "shop_client"
    default_auto_field = "django.db.models.BigAutoField"
