"""The line of the user's program that builds a node."""

from __future__ import annotations

import sys

__all__ = ["callsite", "is_own_module"]

#: Frames of these packages are never the user's line.
_OWN_PACKAGES = ("django_rpc.", "django.", "asgiref.")
_USER_PACKAGES = ("django_rpc.demo.",)

#: Cache of `is_own_module`, by module name.
_own_modules: dict[str, bool] = {}

#: One shared tuple for each source line, for all nodes that the line builds.
_sites: dict[tuple[str, int], tuple[str, int]] = {}


def is_own_module(module: str) -> bool:
    """Return True for a module of django_rpc, Django or asgiref; False for a module of the user."""
    is_own = _own_modules.get(module)
    if is_own is None:
        name = module + "."
        is_own = _own_modules[module] = name.startswith(_OWN_PACKAGES) and not name.startswith(_USER_PACKAGES)
    return is_own


def callsite(skip: int = 0) -> tuple[str, int]:
    """Return the file and line of the innermost frame outside of django_rpc, Django and asgiref.

    ``skip`` is the number of frames above the caller that are known to belong to django_rpc.
    """
    frame = sys._getframe(skip + 1)
    while True:
        module = frame.f_globals.get("__name__", "")
        is_own = _own_modules.get(module)
        if is_own is None:
            is_own = is_own_module(module)
        if not is_own or frame.f_back is None:
            break
        frame = frame.f_back
    site = (frame.f_code.co_filename, frame.f_lineno)
    return _sites.setdefault(site, site)
