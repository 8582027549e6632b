"""Random programs give the same through mirrors as on local models: ``python -m tests.semantics``."""
