"""The example server for djangoceleryrpc, in an environment of its own."""
