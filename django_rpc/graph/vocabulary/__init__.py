"""Allowed methods, lookups and functions, with the checks of their arguments."""
