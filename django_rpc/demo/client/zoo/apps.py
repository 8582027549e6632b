from django.apps import AppConfig


class ZooClientConfig(AppConfig):
    name = "django_rpc.demo.client.zoo"
    label = "zoo_client"
    default_auto_field = "django.db.models.BigAutoField"
