"""A superuser of the client's site, logged in; the service is in the same process."""

from __future__ import annotations

import pytest


@pytest.fixture
def superuser(db, django_user_model, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a quick one
    return django_user_model.objects.create_superuser("ada", "ada@example.com", "secret")


@pytest.fixture
def site(client, superuser, shop_data, settings):
    """Django's test client, logged in as a superuser."""
    settings.ALLOWED_HOSTS = ["*"]
    client.force_login(superuser)
    return client
