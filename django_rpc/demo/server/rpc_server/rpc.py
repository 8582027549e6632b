from django_rpc.server import ModelRpc, site

from .models import ServerModel


@site.register(ServerModel)
class ServerModelRpc(ModelRpc):
    fields = ["id", "some_field", "other_field"]
    operations = {"read", "create", "update", "delete"}
    methods = ["manager_function"]
