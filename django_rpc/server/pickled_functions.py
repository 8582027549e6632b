"""Functions that a client sends as code by cloudpickle; the only module of a service that unpickles data.

A client that may send code can do everything that this process can do. So this is off by default, and the setting
CLIENTS allows it by name to clients that sign. The permission is checked before anything of a function is read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied

from django_rpc.errors import ShippingFailed
from django_rpc.graph.nodes import Shipped
from django_rpc.graph.nodes.pickled_function import PYTHON
from django_rpc.server.errors.public import public_error
from django_rpc.server.policy.client_policy import Policy

__all__ = ["check", "load"]


def check(policy: Policy) -> None:
    """Raise PermissionDenied unless the client may send functions; the text is the same if no client may."""
    if not policy.request.may_ship:
        raise PermissionDenied("This client may not ship functions to this service.")


def load(policy: Policy, node: Shipped) -> Callable[..., Any]:
    """Return the function. Raises PermissionDenied, and ShippingFailed if its code cannot be loaded."""
    check(policy)
    if node.python != PYTHON:
        raise public_error(
            ShippingFailed(
                f"{node.name}() was shipped by Python {node.python}, and this service runs Python {PYTHON}, which may "
                "not understand its code. Run the same version at both ends, or let the service register the function "
                "by name."
            )
        )
    try:
        function = pickle.loads(node.code)
    except Exception as error:
        raise public_error(
            ShippingFailed(
                f"{node.name}() cannot be made at this service ({type(error).__name__}: {error}). Other modules that "
                "the function uses have to be installed there."
            )
        ) from error
    if not callable(function):
        raise public_error(ShippingFailed(f"{node.name} is a {type(function).__name__}, which cannot be called."))
    return function
