from django.apps import AppConfig


class SeedClientConfig(AppConfig):
    name = "django_rpc.demo.client.seed"
    label = "seed_client"
    default_auto_field = "django.db.models.BigAutoField"
