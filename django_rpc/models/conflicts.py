"""Conflicts between the collected writes of a block and a read: a read conflicts if it uses a model that is written.

The graph has the models: the model of each query, the relations of attributes, and the relations in lookup paths.
The client does not know other writes and reads of the service (signals, an overridden ``save()``, computed fields).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django_rpc.graph.nodes import Attr, ModelSource, Node, own_fields
from django_rpc.graph.nodes.collections import Scope
from django_rpc.graph.traversal import topological
from django_rpc.graph.values import Condition, Expr
from django_rpc.models.options import mirror_for, options_of

__all__ = ["ConflictCheck", "dependents"]

_NO_MODELS: frozenset[Any] = frozenset()


class ConflictCheck:
    """The models that the operations of one block write (`django_rpc.client.unit_of_work.Sight`)."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._written: set[str] = set()
        self._writes_anything = False

    def note(self, node: Node) -> None:
        """Note the models that the collected operation ``node`` writes."""
        used = _UsedModels(self._using, [node])
        for write in filter(lambda inner: inner.writes, used.nodes):
            models = used.models[write]
            if getattr(write, "name", "") == "delete":
                models |= dependents(models)
            labels = _labels(models) | _label_of_source(write)
            self._written |= labels
            if not labels or write.runs_service_code:
                self._writes_anything = True

    def could_see(self, nodes: Sequence[Node]) -> bool:
        """Return True if a collected operation could change the value of one of ``nodes``."""
        used = _UsedModels(self._using, nodes)
        used.add_labels()
        if not used.is_known or (self._writes_anything and used.labels):
            return True
        return not used.labels.isdisjoint(self._written)


class _UsedModels:
    """The models that a graph uses.

    ``models`` has the mirrors that the value of each node has rows of. ``labels`` has the names of all used models at
    the service, after `add_labels`. ``is_known`` is False if the graph uses models that the client cannot find.
    """

    def __init__(self, using: str, nodes: Iterable[Node]) -> None:
        self.nodes = topological(list(nodes))
        self.labels: set[str] = set()
        self.is_known = not any(node.runs_service_code for node in self.nodes)
        self._using = using
        self._scopes = [node for node in self.nodes if isinstance(node, Scope)]
        self.models: dict[Node, frozenset[Any]] = {}
        for _ in range(len(self._scopes) + 1):  # the models of an element are known after the node that binds it
            for node in self.nodes:
                self.models[node] = self._models_of(node)

    def _models_of(self, node: Node) -> frozenset[Any]:
        """Return the models of the rows in the value of ``node``, from the models of its inputs."""
        if isinstance(node, ModelSource):
            mirror = node.mirror or mirror_for(self._using, node.model)
            return _NO_MODELS if mirror is None else frozenset({mirror})
        if node.is_element:
            return self._union(scope.parent for scope in self._scopes if scope.param is node)
        models = self._union(getattr(node, name) for name in own_fields(type(node)))
        return self._follow(models, node.name, {}) if isinstance(node, Attr) else models

    def _union(self, inputs: Iterable[Any]) -> frozenset[Any]:
        sets = [self.models.get(value, _NO_MODELS) for value in inputs if isinstance(value, Node)]
        return _NO_MODELS.union(*sets)

    def add_labels(self) -> None:
        """Add the labels of the models of all nodes, and of the relations in the lookup paths of their arguments."""
        outer_models = self._union(node for node in self.nodes if isinstance(node, ModelSource))
        for node in self.nodes:
            models = self.models[node]
            self.labels |= _label_of_source(node) | _labels(models)
            aliases = dict(_aliases(node))
            for argument in ("args", "kwargs", "columns"):
                for path, is_outer in _paths(getattr(node, argument, ()), models):
                    self._follow(outer_models if is_outer else models, path, aliases)

    def _follow(self, models: frozenset[Any], path: str, aliases: dict[str, str]) -> frozenset[Any]:
        """Add the models of the relations in ``path``, and return the models of the last relation.

        The path ends at the first name that is no relation, such as a field, a lookup or an annotation.
        """
        if "+" in path:  # a hidden relation, which has a different name at the service
            self.is_known = False
            return _NO_MODELS
        head, _, rest = path.lstrip("-").partition("__")
        names = [*aliases.get(head, head).split("__"), *(rest.split("__") if rest else ())]
        reached = _NO_MODELS
        for name in names:
            reached = _NO_MODELS.union(*[_relations(model).get(name, _NO_MODELS) for model in models])
            if None in reached:  # a generic foreign key
                self.is_known = False
                return _NO_MODELS
            if not reached:
                break
            self.labels |= _labels(reached)
            models = reached
        return reached


def _paths(value: Any, models: frozenset[Any], is_data: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield each lookup path in an argument of a query on ``models``, with True for a path of the outer query.

    A string is a path, except for the value of a lookup and of a field.
    """
    if isinstance(value, str):
        if not is_data:
            yield value, False
    elif isinstance(value, Condition):
        for child in value.children:
            if isinstance(child, tuple):
                yield child[0], False
                yield from _paths(child[1], models, is_data=True)
            else:
                yield from _paths(child, models, is_data)
    elif isinstance(value, Expr):
        if value.name == "OuterRef":
            yield from ((name, True) for name in value.args)
        else:
            yield from _paths((*value.args, *value.kwargs.values()), models, is_data=value.name == "Value")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name, False
            yield from _paths(item, models, is_data or _is_field(models, name))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _paths(item, models, is_data)


def _aliases(node: Any) -> Iterator[tuple[str, str]]:
    """Yield the names that the query ``node`` gives to relations, each with its path.

    These are the names of ``FilteredRelation`` and of ``Prefetch`` with ``to_attr``.
    """
    while node is not None:
        for alias, value in getattr(node, "kwargs", {}).items():
            if isinstance(value, Expr) and value.name == "FilteredRelation":
                yield alias, value.args[0]
        for value in getattr(node, "args", ()):
            if isinstance(value, Expr) and value.name == "Prefetch" and "to_attr" in value.kwargs:
                yield value.kwargs["to_attr"], value.args[0]
        node = getattr(node, "parent", None)


def _is_field(models: frozenset[Any], path: Any) -> bool:
    """Return True if ``path`` starts with a field or a relation of one of ``models``."""
    name = str(path).partition("__")[0]
    return name == "pk" or any(name in _relations(model) or name in _field_names(model) for model in models)


@functools.cache
def _field_names(model: Any) -> frozenset[str]:
    return frozenset(name for field in model._meta.concrete_fields for name in (field.name, field.attname))


@functools.cache
def _relations(model: Any) -> dict[str, frozenset[Any]]:
    """Return the mirrors that each relation of ``model`` leads to, by all names of the relation.

    For a many-to-many relation, they include the through model. None is the target of a generic foreign key.
    """
    relations: dict[str, frozenset[Any]] = {}
    for field in model._meta.get_fields(include_hidden=True):
        if not field.is_relation:
            continue
        through = getattr(field, "through", None) or getattr(field.remote_field, "through", None)
        targets = {target for target in (field.related_model, through) if options_of(target) is not None}
        if field.related_model is None:
            targets = {None}
        names = {field.name}
        if hasattr(field, "get_accessor_name"):
            names.add(field.get_accessor_name())
        for name in filter(None, names):
            relations[name] = relations.get(name, _NO_MODELS) | targets
    return relations


def dependents(models: Iterable[Any]) -> set[Any]:
    """Return the models with rows that may be deleted, or lose a foreign key, with rows of ``models``."""
    stack, dependent = list(models), set()
    while stack:
        model = stack.pop()
        for related in model._meta.related_objects:
            for target in (related.related_model, getattr(related, "through", None)):
                if target is not None and target not in dependent and options_of(target) is not None:
                    dependent.add(target)
                    stack.append(target)
        for many in model._meta.many_to_many:
            if options_of(many.remote_field.through) is not None:
                dependent.add(many.remote_field.through)
    return dependent


def _label_of_source(node: Node) -> set[str]:
    """Return the label of a node that names its model: a source, a save or an insert."""
    label = getattr(node, "model", None)
    return set() if label is None else {label.lower()}


def _labels(models: Iterable[Any]) -> set[str]:
    """Return the labels of ``models`` and of the models that they inherit from."""
    inherited = {parent for model in models for parent in (model, *model._meta.get_parent_list())}
    return {options.label.lower() for model in inherited if (options := options_of(model)) is not None}
