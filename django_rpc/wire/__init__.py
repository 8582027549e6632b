"""Nodes and values to bytes and back; ``docs/protocol.md`` is the contract."""
