"""Handling of one request: authentication, limits, evaluation, reply."""
