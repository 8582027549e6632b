"""The services of a run: the second database of a test is, for a mirror, a second service with the same models.

A test case that says ``databases = {"default", "other"}`` names two databases of its models.  A mirror's rows are at
services: so in these test cases, in routers, and where an instance's or a query's ``db`` is compared, "default" stands
for the service ``rpc``, whose database is "default", and "other" for ``rpc_other``, whose database is "other".
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from django.core.management.commands import loaddata
from django.db import connections, router

__all__ = ["SERVICES", "TwoServices", "fixtures_by_database", "local_twins", "own_routers", "second_service"]

#: Database of the test suite -> alias of the service that has it.
SERVICES = {"default": "rpc", "other": "rpc_other"}
_QUOTED = re.compile(f'"({"|".join(SERVICES)})"')  # in messages
_ROUTING = {"db_for_read", "db_for_write", "allow_relation", "allow_migrate"}


class TwoServices(ast.NodeTransformer):
    """Names services in place of databases, in test cases of two databases and in routers."""

    def __init__(self) -> None:
        self._within = False

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        before, self._within = self._within, self._within or _names_two(node)
        self.generic_visit(node)
        self._within = before
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        before = self._within
        self._within = before or any(isinstance(item, ast.Attribute) and item.attr == "db" for item in node.args)
        self.generic_visit(node)
        self._within = before
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        if self._within and _is_databases(node):  # of local models, and of mirrors
            elements = node.value.elts  # type: ignore[attr-defined]
            node.value.elts = elements + [ast.Constant(alias) for alias in SERVICES.values()]  # type: ignore[attr-defined]
            return node
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> Any:
        if isinstance(node.iter, ast.Attribute) and node.iter.attr == "databases":  # of the test's models, one by one
            services: list[ast.expr] = [ast.Constant(alias) for alias in SERVICES.values()]
            node.iter = ast.Tuple(services, ast.Load())
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> Any:
        if not self._within or not isinstance(node.value, str):
            return node
        value = SERVICES.get(node.value) or _QUOTED.sub(lambda found: f'"{SERVICES[found[1]]}"', node.value)
        return ast.copy_location(ast.Constant(value), node)

    def visit_Name(self, node: ast.Name) -> Any:
        if self._within and node.id == "DEFAULT_DB_ALIAS" and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(SERVICES["default"]), node)
        return node


def _names_two(node: ast.ClassDef) -> bool:
    routes = any(isinstance(item, ast.FunctionDef) and item.name in _ROUTING for item in node.body)
    reads = any(isinstance(item, ast.Attribute) and item.attr == "objects" for item in ast.walk(node))
    return routes or (reads and any(_is_databases(item) for item in node.body))


def _is_databases(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "databases" for target in node.targets)
        and isinstance(node.value, ast.Set)
        and any(isinstance(item, ast.Constant) and item.value == "other" for item in node.value.elts)
    )


def second_service() -> Any:
    """The way to ``rpc_other``: evaluated in this process as the other service is, on the database "other"."""
    from django_rpc.transport.in_process import InProcessTransport

    class OnOther(InProcessTransport):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            with _at_other():
                return super().send(*args, **kwargs)

    return OnOther(connections[SERVICES["other"]].session.config)


@contextlib.contextmanager
def _at_other() -> Iterator[None]:
    """The server's code knows one database: its own "default"."""
    one, other = connections["default"], connections["other"]
    connections["default"] = other
    try:
        yield
    finally:
        connections["default"] = one


def local_twins() -> None:
    """A local model is asked on the database that a service stands for: its own rows are there, in both."""
    from django_rpc.backend import compiler
    from django_rpc.models.options import options_of

    find = compiler._local_alias
    databases = {alias: database for database, alias in SERVICES.items()}

    def local_alias(query: Any, using: str) -> str | None:
        found = find(query, using)
        if query.model is None or hasattr(query, "recorded") or options_of(query.model) is not None:
            return found
        return databases.get(using, found)

    compiler._local_alias = local_alias


def fixtures_by_database() -> None:
    """A file that is named after a database is for the service that has it."""
    targets = loaddata.Command.get_targets
    databases = {alias: database for database, alias in SERVICES.items()}

    def by_database(command: Any, *args: Any) -> set[str]:
        database = databases.get(command.using, command.using)
        return {name.replace(f".{command.using}.", f".{database}.") for name in targets(command, *args)}

    loaddata.Command.get_targets = by_database


class own_routers:
    """A server is another process, with routers of its own: those of the run, whatever a test has set."""

    def __init__(self) -> None:
        self.routers = list(router.routers)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        before, router.routers = router.routers, self.routers
        try:
            yield
        finally:
            router.routers = before
