"""Execution of graphs by services: sessions, futures and units of work, without Django."""
