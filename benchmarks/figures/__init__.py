"""One module a figure: which lanes run side by side, and which goals hold."""
