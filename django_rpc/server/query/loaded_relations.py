"""Annotations and relations that a query loads in addition to the fields of its instances."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Prefetch, QuerySet

from django_rpc.server.django_compat import (
    clear_related_cache,
    is_evaluated,
    known_parents,
    prefetch_lookups,
    related_cache,
)

__all__ = [
    "NOTHING",
    "Loaded",
    "PrefetchLevel",
    "forget_related",
    "is_loaded",
    "loaded_by",
    "loaded_with",
    "remember",
    "remember_parent",
]

#: Attribute of an instance with its `Loaded`.
_ATTRIBUTE = "_rpc_loaded"


class Loaded:
    """Annotations and relations that are loaded with an instance.

    - ``names``: names of the annotations.
    - ``relations``: accessor -> `Loaded` of the related instances.
    - ``parents``: names of the relations that lead back, after a relation was read (``customer.orders``).
    - ``queries``: accessor -> the client's query in a ``Prefetch``, which later queries of the relation refine.
    """

    __slots__ = ("names", "parents", "queries", "relations")

    def __init__(
        self,
        names: tuple[str, ...] = (),
        relations: dict[str, Loaded] | None = None,
        parents: tuple[str, ...] = (),
        queries: dict[str, QuerySet] | None = None,
    ) -> None:
        self.names = names
        self.relations: dict[str, Loaded] = relations or {}
        self.parents = parents
        self.queries: dict[str, QuerySet] = queries or {}

    def __bool__(self) -> bool:
        return bool(self.names or self.relations or self.parents)


NOTHING = Loaded()


class PrefetchLevel(Prefetch):
    """Level of a prefetch; ``client_query`` is the query of the client, without hidden columns."""

    def __init__(self, lookup: str, queryset: QuerySet, to_attr: str | None, client_query: QuerySet | None) -> None:
        super().__init__(lookup, queryset, to_attr)
        self.client_query = client_query


def loaded_by(queryset: QuerySet) -> Loaded:
    """Return the annotations and relations of ``annotate``, ``select_related`` and ``prefetch_related``."""
    query = queryset.query
    parents = tuple([field.name for field in known_parents(queryset)])
    if not (query.annotations or query.select_related or prefetch_lookups(queryset) or parents):
        return NOTHING
    loaded = Loaded(tuple(query.annotation_select), parents=parents)
    if isinstance(query.select_related, dict):
        _add_joined(loaded, queryset.model, query.select_related)
    for lookup in prefetch_lookups(queryset):
        at = loaded
        *path, last = lookup.prefetch_to.split("__")
        for name in path:
            at = at.relations.setdefault(name, Loaded())
        nested = loaded_by(lookup.queryset) if lookup.queryset is not None else NOTHING
        existing = at.relations.get(last)
        if existing is None:
            at.relations[last] = Loaded(nested.names, dict(nested.relations), queries=dict(nested.queries))
        else:
            existing.relations.update(nested.relations)
            existing.queries.update(nested.queries)
        if isinstance(lookup, PrefetchLevel) and lookup.client_query is not None and not lookup.to_attr:
            at.queries[last] = lookup.client_query
    return loaded


def _add_joined(loaded: Loaded, model: type[Model], names: dict[str, Any]) -> None:
    for name, deeper in names.items():
        try:
            field = model._meta.get_field(name)
        except LookupError:
            continue
        except Exception:  # noqa: BLE001 - the alias of a FilteredRelation: an attribute, and no field
            loaded.relations[name] = Loaded()
            continue
        accessor = field.get_accessor_name() if field.auto_created and not field.concrete else field.name
        child = loaded.relations.setdefault(accessor, Loaded())
        _add_joined(child, field.related_model, deeper)


def remember(instance: Any, loaded: Loaded) -> Any:
    """Note ``loaded`` on ``instance``, and return ``instance``."""
    if loaded and isinstance(instance, Model):
        instance.__dict__[_ATTRIBUTE] = loaded
    return instance


def remember_parent(instance: Any, relation: Any, parent: Model) -> Any:
    """Cache ``parent`` in ``instance``, which was read through a relation of it; returns ``instance``.

    ``relation`` leads from ``instance`` to ``parent``.
    """
    relation.set_cached_value(instance, parent)
    name = relation.name if relation.concrete else relation.get_accessor_name()
    loaded = loaded_with(instance)
    return remember(instance, Loaded(loaded.names, loaded.relations, (*loaded.parents, name), loaded.queries))


def loaded_with(instance: Model) -> Loaded:
    return instance.__dict__.get(_ATTRIBUTE, NOTHING)


def is_loaded(instance: Model, name: str) -> bool:
    """Return whether the related rows under ``name`` are still in memory, so that reading them runs no query.

    Django forgets them when a relation changes and in ``refresh_from_db()``, and would then load them without the
    scope of the client.
    """
    if name in instance.__dict__ or name in related_cache(instance):
        return True
    manager = getattr(type(instance), name, None)
    if not hasattr(manager, "related_manager_cls"):
        return False
    return is_evaluated(getattr(instance, name).all())


def forget_related(instance: Model) -> Model:
    """Forget the related rows that the client loaded with ``instance``, and return it.

    The service's code would take the rows that the client selected for all related rows.
    """
    clear_related_cache(instance)
    return instance
