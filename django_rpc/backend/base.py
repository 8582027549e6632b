"""Django's connection object for a service: ``connections["rpc"]``.

It holds no network connection and no transaction (see `transactions`). Each call is one message, which the session of
the process sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import utils
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.client import BaseDatabaseClient
from django.db.backends.base.validation import BaseDatabaseValidation
from django.utils.functional import cached_property

from django_rpc.backend.creation import DatabaseCreation
from django_rpc.backend.cursor import RpcCursor
from django_rpc.backend.features import DatabaseFeatures
from django_rpc.backend.introspection import DatabaseIntrospection
from django_rpc.backend.operations import DatabaseOperations
from django_rpc.backend.schema import DatabaseSchemaEditor
from django_rpc.backend.sessions import session_for
from django_rpc.backend.transactions import Transactions
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.nodes import Node

__all__ = ["DatabaseWrapper"]


_ERRORS = (
    utils.Error,
    utils.InterfaceError,
    utils.DatabaseError,
    utils.DataError,
    utils.OperationalError,
    utils.IntegrityError,
    utils.InternalError,
    utils.ProgrammingError,
    utils.NotSupportedError,
)
#: Attributes that Django reads from a database driver: exception classes (Django's classes here) and the type of bytes.
Driver = SimpleNamespace(Binary=bytes, **{cls.__name__: cls for cls in _ERRORS})


class DatabaseWrapper(Transactions, BaseDatabaseWrapper):
    vendor = "rpc"
    display_name = "django_rpc"

    # Django reads only the names of these operators; the service turns the lookups of a mirror into SQL.
    operators: dict[str, str] = {}
    data_types: dict[str, str] = {}

    Database = Driver
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = BaseDatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations
    validation_class = BaseDatabaseValidation

    @cached_property
    def session(self) -> Any:
        """Return the session (`django_rpc.client.session.Session`) of this alias, which the process shares."""
        return session_for(self.alias, self.settings_dict)

    def compute(self, node: Node, options: Mapping[str, Any] | None = None) -> Any:
        """Return the value of one node, with one message. ``options`` are ``timeout`` (seconds) and ``priority``."""
        return self.session.compute([Output(node)], **(options or {}))[0]

    # A connection object opens no network connection, so no connection must be kept alive and none can be lost.

    def check_settings(self) -> None:
        super().check_settings()
        if self.settings_dict.get("ATOMIC_REQUESTS"):
            raise ImproperlyConfigured(
                f"DATABASES[{self.alias!r}] cannot have ATOMIC_REQUESTS: a remote service has no transaction that "
                "lasts over several messages."
            )

    def get_connection_params(self) -> dict[str, Any]:
        return {}

    def get_new_connection(self, conn_params: dict[str, Any]) -> object:
        return object()

    def init_connection_state(self) -> None:
        return None

    def create_cursor(self, name: str | None = None) -> RpcCursor:
        return RpcCursor(self)

    def cursor(self) -> RpcCursor:  # not wrapped: there is no SQL to time or to log
        return RpcCursor(self)

    def is_usable(self) -> bool:
        return True

    def _close(self) -> None:
        return None

    def prepare_database(self) -> None:
        """Raise CommandError; only ``migrate`` calls this method."""
        raise CommandError(
            f"The database {self.alias!r} is a remote service: there is nothing to migrate from here. "
            "Run its own project's migrate."
        )
