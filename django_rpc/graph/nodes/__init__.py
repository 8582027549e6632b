"""Node kinds of the expression graph."""
