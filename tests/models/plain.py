"""Results as plain data, so that those of a mirror and those of its model compare equal."""

from __future__ import annotations

from django.db import models

#: Fields of the server's models that are not exposed, and so not in the mirrors.
HIDDEN = {"secret_note", "password"}


def plain(value, above=()):
    """Return instances as their fields, so that a mirror and its model compare equal; ``above`` are the enclosing
    instances.
    """
    if isinstance(value, models.Model):
        if any(value is holder for holder in above):
            return type(value).__name__, value.pk
        above = (*above, value)
        state = {k: plain(v, above) for k, v in value.__dict__.items() if not k.startswith("_")}
        caches = {k: plain(v, above) for k, v in value._state.fields_cache.items()}
        prefetched = {k: plain(list(v), above) for k, v in getattr(value, "_prefetched_objects_cache", {}).items()}
        shown = {name: item for name, item in state.items() if name not in HIDDEN}
        return type(value).__name__, shown, caches, prefetched
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value).__name__, value._fields, tuple(plain(item, above) for item in value)
    if isinstance(value, list | tuple):
        return type(value)(plain(item, above) for item in value)
    if isinstance(value, dict):
        return {key: plain(item, above) for key, item in value.items()}
    return type(value).__name__, value
