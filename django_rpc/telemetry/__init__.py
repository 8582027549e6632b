"""Observers of messages (`hooks`): the audit log, spans and metrics."""
