"""The mirror of the first example in the documentation."""
