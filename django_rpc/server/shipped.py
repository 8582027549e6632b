"""Functions that a client ships by cloudpickle: the one place of a service where anything is unpickled.

Who may ship can do all that this process can, so it is off by default, and allowed by name (``CLIENTS``) to clients
that sign.  Nothing of a function is looked at before it is known that its client may.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied

from django_rpc.graph.shipped import PYTHON, Shipped
from django_rpc.server.error_texts import public_error
from django_rpc.server.policy import Policy

__all__ = ["ShippingFailed", "check", "load"]


@public_error
class ShippingFailed(Exception):
    """A function of a client that may ship could not be made here."""


def check(policy: Policy) -> None:
    """Raise PermissionDenied unless the client may ship functions; the same where nobody may."""
    if not policy.request.may_ship:
        raise PermissionDenied("This client may not ship functions to this service.")


def load(policy: Policy, node: Shipped) -> Callable[..., Any]:
    """The function itself.  Raises PermissionDenied, and ShippingFailed where it cannot be made."""
    check(policy)
    if node.python != PYTHON:
        raise ShippingFailed(
            f"{node.name}() was shipped by Python {node.python}, and this service runs Python {PYTHON}, which may not "
            "understand its code. Run the same version at both ends, or let the service register the function by name."
        )
    try:
        function = pickle.loads(node.code)
    except Exception as error:
        raise ShippingFailed(
            f"{node.name}() cannot be made at this service ({type(error).__name__}: {error}). What the function uses "
            "from other modules than its own has to be installed there."
        ) from error
    if not callable(function):
        raise ShippingFailed(f"{node.name} is a {type(function).__name__}, which cannot be called.")
    return function  # type: ignore[no-any-return]
