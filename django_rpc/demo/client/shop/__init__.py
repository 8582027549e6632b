"""Mirrors of the shop."""
