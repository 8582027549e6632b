"""The publisher of requests, and the error of a broker that cannot be reached."""

from __future__ import annotations

import pytest

from django_rpc.transport.config import Config
from django_rpc.transport.publish import Publisher


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:1/", "redis://localhost:1/"),
        ("redis://:secret@localhost:1/", "redis://:**@localhost:1/"),
    ],
)
def test_error_names_the_broker_as_the_settings_do(url, shown):
    publisher = Publisher(Config.from_dict({"BROKER_URL": url, "RESULT_BACKEND": "redis://localhost:1/"}, "rpc"))
    text = str(publisher.unavailable(ConnectionError("refused"), "1", maybe_sent=False))
    assert text.startswith(f"The broker {shown} of 'rpc' cannot be reached")
    assert "secret" not in text
