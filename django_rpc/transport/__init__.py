"""Transports: bytes of requests to a service, and bytes of replies back."""
