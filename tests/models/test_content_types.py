"""Keys of content types of a service."""

from __future__ import annotations

from django_rpc.models import content_types


def test_remembered_keys_are_limited(monkeypatch):
    monkeypatch.setattr(content_types, "_labels", lambda alias: {1: "shop.Order"})
    monkeypatch.setattr(content_types, "_MAX_KNOWN", 10)
    monkeypatch.setattr(content_types, "_known", {})
    assert [content_types.local_key(key, "rpc") for key in range(100, 150)] == list(range(100, 150))
    assert len(content_types._known["rpc"]) <= 11
