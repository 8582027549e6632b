"""The demo: two example projects (a server, a client) and the processes that they need.

Tests and benchmarks use the same projects. Nothing here is imported by the library.
"""
