from django.apps import AppConfig


class RpcServerConfig(AppConfig):
    name = "django_rpc.demo.server.rpc_server"
    label = "rpc_server"
    default_auto_field = "django.db.models.BigAutoField"
