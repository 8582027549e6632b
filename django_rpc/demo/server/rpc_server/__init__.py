"""The app of the first example in the documentation: one model and one manager method."""
