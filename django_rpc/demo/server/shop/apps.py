from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "django_rpc.demo.server.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"
