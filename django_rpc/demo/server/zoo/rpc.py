"""Everything is open to clients here: the zoo exists to be tested."""

from django.apps import apps

from django_rpc.server import ModelRpc, site


class ZooRpc(ModelRpc):
    fields = "__all__"
    operations = {"read", "create", "update", "delete"}


for _model in apps.get_app_config("zoo").get_models():
    site.register(_model)(type(f"{_model.__name__}Rpc", (ZooRpc,), {}))
