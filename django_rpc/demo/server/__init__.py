"""The example server: a plain Django project whose models are exposed by ``rpc.py`` files."""
