"""The example server: a plain Django project that exposes its models in ``rpc.py`` files."""
