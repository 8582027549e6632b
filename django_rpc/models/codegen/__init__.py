"""Declarations of mirrors, made from the models that a service describes."""
