from django.apps import AppConfig


class ZooConfig(AppConfig):
    name = "django_rpc.demo.server.zoo"
    label = "zoo"
    default_auto_field = "django.db.models.BigAutoField"
