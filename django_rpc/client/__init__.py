"""Runs what graph records: sessions, the transport over Celery, futures and errors.  Knows no Django."""
