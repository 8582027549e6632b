"""Fixtures of the Django client's tests: mirrors and models side by side in one process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext


def namespace(*packages):
    """The models of these packages under their names, for code that runs on either side."""
    names = {}
    for package in packages:
        names.update({name: value for name, value in vars(package).items() if isinstance(value, type)})
    return SimpleNamespace(**names)


@pytest.fixture(scope="session")
def local():
    """The server's own models."""
    from django_rpc.demo.server.rpc_server import models as rpc_server
    from django_rpc.demo.server.shop import models as shop
    from django_rpc.demo.server.zoo import models as zoo

    return namespace(rpc_server, shop, zoo)


@pytest.fixture(scope="session")
def remote():
    """The client's mirrors of them."""
    from django_rpc.demo.client.seed import models as seed
    from django_rpc.demo.client.shop import models as shop
    from django_rpc.demo.client.zoo import models as zoo

    return namespace(seed, shop, zoo)


@pytest.fixture
def messages():
    """``with messages() as sent: ...``; ``len(sent)`` messages went to the service."""

    def capture():
        return CaptureQueriesContext(connections["rpc"])

    return capture
