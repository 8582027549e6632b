"""The versions of one end, which both ends send to each other."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Mapping
from types import MappingProxyType

from django_rpc.wire.messages import PROTOCOL_VERSION

__all__ = ["versions"]

_PACKAGES = {"django_rpc": "django-rpc", "django": "Django", "celery": "celery"}


@functools.lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Of ``django_rpc``, the ``protocol``, ``django`` (where it is installed), ``celery`` and ``python``.

    >>> versions()["protocol"]
    '1'
    """
    versions = {"protocol": str(PROTOCOL_VERSION), "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            versions[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a client without Django, or a copy that is not installed
            continue
    return MappingProxyType(versions)
