"""Ledger of requests that write: each is executed once, however often its message is delivered."""
