"""Imports a test app of Django a second time, under another name and with other models.

The app ``basic`` stays as it is: its models are the server's.  Its second import, ``mirror_basic``, reads the same
files, with three differences:

- its models derive from a given class in place of ``models.Model``: from a mirror, or, in the control run, from an
  unmanaged model on the same table;
- absolute imports of test apps (``from basic.models import Article``), dotted names in strings (``"basic.Article"``,
  ``"admin_views.urls"``) and names of apps where Django expects such a name (``app_label = "basic"``) lead to the
  second import;
- it has no ``apps`` module: its configuration is the default one.

All of this is the same in both runs, so the control run shows what it breaks.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.base import ModelBase

from tests.conformance.services import TwoServices

__all__ = ["PREFIX", "Substitution", "imported_apps"]

PREFIX = "mirror_"

#: Calls whose string arguments are names of apps, and variables and keywords that hold such names.
_APP_CALLS = {"isolate_apps", "get_app_config", "get_model", "get_by_natural_key", "get_containing_app_config"}
_APP_NAMES = {"app_label", "app_labels", "available_apps"}


class Substitution:
    """The second imports of ``labels``, with models of ``base`` (``"mirror"`` or ``"plain"``).

    ``install()`` comes before ``django.setup()``, whose INSTALLED_APPS name both imports.
    """

    def __init__(self, tests: Path, labels: list[str], kind: str) -> None:
        self.tests = tests
        self.labels = labels
        self.kind = kind
        self.models: list[Any] = []

    def install(self) -> None:
        sys.meta_path.insert(0, _Finder(self))
        _make_models(self)


class _Finder(importlib.machinery.PathFinder):
    def __init__(self, substitution: Substitution) -> None:
        self.substitution = substitution

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:  # type: ignore[override]
        top, *rest = fullname.split(".")
        if not top.startswith(PREFIX) or top.removeprefix(PREFIX) not in self.substitution.labels:
            return None
        place = self.substitution.tests.joinpath(top.removeprefix(PREFIX), *rest)
        if rest[-1:] == ["apps"]:
            return importlib.util.spec_from_loader(fullname, _Empty())
        package = place / "__init__.py"
        if package.exists():
            loader = _Loader(fullname, str(package), self.substitution)
            return importlib.util.spec_from_loader(fullname, loader, is_package=True)
        module = place.with_suffix(".py")
        if module.exists():
            return importlib.util.spec_from_loader(fullname, _Loader(fullname, str(module), self.substitution))
        return None


class _Empty:
    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the rewritten source; the bytecode of the first import is another one, so none is cached."""

    def __init__(self, fullname: str, path: str, substitution: Substitution) -> None:
        super().__init__(fullname, path)
        self.substitution = substitution

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        tree = _Rewriter(self.substitution.labels).visit(tree)
        if self.substitution.kind == "mirror":
            tree = TwoServices().visit(tree)
        ast.fix_missing_locations(tree)
        return compile(tree, path, "exec", dont_inherit=True)


class _Rewriter(ast.NodeTransformer):
    """Leads names of test apps to their second import."""

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels
        names = "|".join(map(re.escape, labels))
        self.dotted = re.compile(rf"({names})(\.\w+)+")
        # The admin makes names and paths of its URLs from an app's label.
        self.url_name = re.compile(
            rf"(?<![\w.])({names})(?=_\w+_(?:changelist|add|change|delete|history|autocomplete)\b)"
        )
        self.url_path = re.compile(rf"(?<=/)({names})(?=/)|(?<=\bapp-)({names})(?= )")
        self.template = re.compile(rf"({names})(?=/[\w/]+\.(?:html|txt)\b)")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level == 0 and node.module and node.module.split(".")[0] in self.labels:
            node.module = PREFIX + node.module
        return node

    def visit_Import(self, node: ast.Import) -> Any:
        for alias in node.names:
            if alias.name.split(".")[0] in self.labels:
                alias.asname = alias.asname or alias.name.split(".")[0]
                alias.name = PREFIX + alias.name
        return node

    def visit_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, str) and self.dotted.fullmatch(node.value) and not node.value.endswith(".json"):
            return ast.copy_location(ast.Constant(PREFIX + node.value), node)
        if isinstance(node.value, str):
            value = self.url_name.sub(rf"{PREFIX}\1", node.value)
            if self.template.match(value):
                value = PREFIX + value
            elif "admin" in value:
                value = self.url_path.sub(lambda found: PREFIX + found[0], value)
            if value != node.value:
                return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _APP_CALLS:
            node.args = [self._app_name(item) for item in node.args]
        if called == "reverse":  # the admin's page of one app
            for keyword in node.keywords:
                if keyword.arg == "args" and isinstance(keyword.value, ast.List | ast.Tuple):
                    keyword.value.elts = [self._app_name(item) for item in keyword.value.elts]
        for keyword in node.keywords:
            if keyword.arg in _APP_NAMES:
                keyword.value = self._app_name(keyword.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        if any(isinstance(target, ast.Name) and target.id in _APP_NAMES for target in node.targets):
            node.value = self._app_name(node.value)
        return node

    def _app_name(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant) and node.value in self.labels:
            return ast.copy_location(ast.Constant(PREFIX + node.value), node)
        if isinstance(node, ast.List | ast.Tuple):  # of available apps: the server's stay available
            node.elts += [self._app_name(item) for item in node.elts if getattr(item, "value", None) in self.labels]
        return node


def _make_models(substitution: Substitution) -> None:
    """From now on, a class of a second import's ``models`` that would be a Model becomes the substitute's kind."""
    original = ModelBase.__new__
    made: dict[str, Any] = {}

    def base() -> Any:
        if "base" not in made:
            made["base"] = _mirror_base() if substitution.kind == "mirror" else _plain_base()
        return made["base"]

    def new(mcs: Any, name: str, bases: Any, attrs: Any, **kwargs: Any) -> Any:
        module = attrs.get("__module__", "")
        kinds = [item for item in bases if isinstance(item, ModelBase)]
        if not kinds or not _is_models_module(module) or getattr(attrs.get("Meta"), "auto_created", False):
            return original(mcs, name, bases, attrs, **kwargs)
        substitute = base()
        if _is_proxy_of_local(attrs, kinds, substitute):
            return original(mcs, name, bases, attrs, **kwargs)
        if not any(issubclass(item, substitute) for item in kinds):
            bases = tuple([item for item in bases if item is not models.Model] + [substitute])
            metaclass = type(substitute)
            if mcs is not ModelBase and not issubclass(metaclass, mcs):
                metaclass = type(mcs.__name__, (mcs, metaclass), {})
            return metaclass(name, bases, attrs, **kwargs)
        if substitution.kind == "plain":
            _prepare(name, attrs, bases, module, substitution.kind)
        model = original(mcs, name, bases, attrs, **kwargs)
        substitution.models.append(model)
        return model

    ModelBase.__new__ = staticmethod(new)  # type: ignore[method-assign]


def _is_proxy_of_local(attrs: dict[str, Any], kinds: list[Any], substitute: Any) -> bool:
    """A proxy of ``User`` and the like has the rows of a local model, and is one."""
    proxy = bool(getattr(attrs.get("Meta"), "proxy", False))
    return proxy and not any(issubclass(item, substitute) for item in kinds)


def _is_models_module(module: str) -> bool:
    top, _, rest = module.partition(".")
    return top.startswith(PREFIX) and "models" in rest.split(".")


def _mirror_base() -> Any:
    """``RpcModel``; its metaclass takes a class apart before it calls ours, and needs ``Rpc`` by then."""
    from django_rpc.models.base import RpcModel, RpcModelBase

    original = RpcModelBase.__new__

    def new(mcs: Any, name: str, bases: Any, attrs: Any, **kwargs: Any) -> Any:
        module = attrs.get("__module__", "")
        if _is_models_module(module) and any(isinstance(item, RpcModelBase) for item in bases):
            _prepare(name, attrs, bases, module, "mirror")
        return original(mcs, name, bases, attrs, **kwargs)

    RpcModelBase.__new__ = staticmethod(new)  # type: ignore[method-assign]
    return RpcModel


def _prepare(name: str, attrs: dict[str, Any], bases: Any, module: str, kind: str) -> None:
    """Give a class the table of the server's model, and say which model that is."""
    meta = attrs.get("Meta")
    if meta is None:
        meta = next((item.Meta for item in bases if hasattr(item, "Meta")), object)
        abstract = proxy = False
    else:
        abstract, proxy = bool(vars(meta).get("abstract")), bool(vars(meta).get("proxy"))
    values: dict[str, Any] = {"abstract": abstract}
    label = getattr(meta, "app_label", None) or _app_of(module)
    label = label.removeprefix(PREFIX)
    if not abstract:
        values["app_label"] = PREFIX + label
        if not proxy:
            values["db_table"] = apps.get_registered_model(label, name)._meta.db_table
        if kind == "plain":
            values["managed"] = False
    attrs["Meta"] = type("Meta", (meta,), values)
    if kind == "mirror" and not abstract and not proxy:
        attrs["Rpc"] = type("Rpc", (), {"app_label": label, "name": name})


def _app_of(module: str) -> str:
    config = apps.get_containing_app_config(module)
    return config.label if config is not None else module.partition(".")[0]


def _plain_base() -> Any:
    class Plain(models.Model):
        class Meta:
            abstract = True

    return Plain


def imported_apps(tests: Path, label: str) -> list[str]:
    """``label`` and the test apps that its modules import or name in their relations, each once."""
    found = [label]
    names = {path.name for path in tests.iterdir() if (path / "__init__.py").exists()}
    for app in found:
        for path in sorted((tests / app).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                module = node.module if isinstance(node, ast.ImportFrom) and node.level == 0 else None
                top = (module or "").partition(".")[0]
                if top in names and top not in found and (tests / top / "models.py").exists():
                    found.append(top)
    return found
