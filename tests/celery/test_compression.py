"""A worker unpacks nothing that others compressed, and may send compressed messages of its own."""

import pytest
from kombu import compression


def test_compressed_messages_are_sent_and_not_taken(monkeypatch):
    from django_rpc.celery.app import unpack_nothing

    for name in ("_decoders", "_encoders", "_aliases"):
        monkeypatch.setattr(compression, name, dict(getattr(compression, name)))
    unpack_nothing()
    for name in ("gzip", "bzip2", "application/x-gzip"):
        packed, content_type = compression.compress(b"data", name)
        with pytest.raises(ValueError, match="a compressed message"):
            compression.decompress(packed, content_type)
