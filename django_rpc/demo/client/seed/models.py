"""The client's side of the first example."""

from django.db import models

from django_rpc.models import RpcModel


class ClientModel(RpcModel):
    class Rpc:
        # the model on the server
        app_label = "rpc_server"
        name = "ServerModel"
        # the alias in DATABASES of the service that has it
        database = "rpc"
        # None: the fields that are declared here
        fields = None

    some_field = models.CharField(max_length=32)
    other_field = models.IntegerField(default=0)
