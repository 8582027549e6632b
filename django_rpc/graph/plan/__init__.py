"""Planner: from the outputs of a computation to the messages for each service."""
