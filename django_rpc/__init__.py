"""Use the models of another Django service as if they were local, over Celery."""

__version__ = "0.1.0"
