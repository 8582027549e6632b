"""Closing of the sockets that a process of the pool inherits from the main process.

A process that replaces a dead process is forked from a working main process, with copies of all its sockets. The copies
would stay open for the lifetime of the process, even after the main process and the broker close the connection.
"""

from __future__ import annotations

import gc
import os
import sys

from amqp.transport import _AbstractTransport

__all__ = ["close_inherited"]


def close_inherited(parent: int) -> int:
    """Close the copies of sockets to the broker and to Redis in a process that ``parent`` forked; return their number.

    The connections of the parent are not affected: nothing is written or shut down. In ``parent`` this does nothing.
    """
    if os.getpid() == parent:  # pools of threads send the same signal as pools of processes
        return 0
    closed = 0
    # A worker that uses Redis has imported redis-py before it forks. Other workers do not need redis-py.
    redis = sys.modules.get("redis.connection")
    redis_connection = () if redis is None else redis.AbstractConnection
    for candidate in gc.get_objects():
        kind = type(candidate)  # isinstance() would evaluate Django's lazy objects
        if issubclass(kind, redis_connection) and getattr(candidate, "_sock", None) is not None:
            candidate.disconnect()  # it detects that another process created it
        elif issubclass(kind, _AbstractTransport) and candidate.sock is not None:
            candidate.sock.close()
            candidate.sock = None
        else:
            continue
        closed += 1
    return closed
