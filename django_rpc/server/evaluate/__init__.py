"""Evaluation of the nodes of a request (`evaluation`); reads that can share a statement are in `server.lowering`."""
