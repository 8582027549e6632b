"""Every figure that we claim, beside its reference, measured in one run: ``python -m benchmarks``."""
