"""Registered models and functions of a service, and their description for clients."""
