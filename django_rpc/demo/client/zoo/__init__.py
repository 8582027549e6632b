"""Mirrors of the zoo."""
