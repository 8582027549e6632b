"""Permissions: the models, fields, rows and operations that each client may use."""
