"""What a process of the pool inherits of the main process's connections: closed, at its own end alone.

A process that replaces a dead one is forked from a worker at work, with copies of all its sockets.  They would stay
open as long as it lives, also when the main process and the broker have long hung up.
"""

from __future__ import annotations

import gc
import os
import sys

from amqp.transport import _AbstractTransport

__all__ = ["close_inherited"]


def close_inherited(parent: int) -> int:
    """Close the copies of the broker's and Redis's sockets in a process that ``parent`` forked; how many there were.

    The connections themselves go on: nothing is written, and nothing shut down.  Does nothing in ``parent`` itself.
    """
    if os.getpid() == parent:  # pools of threads announce themselves as processes do
        return 0
    closed = 0
    # A worker without Redis does not need redis-py, and one with Redis has imported it before it forks.
    redis = sys.modules.get("redis.connection")
    kind_of_redis = () if redis is None else redis.AbstractConnection
    for found in gc.get_objects():
        kind = type(found)  # and not isinstance(), which would wake Django's lazy objects
        if issubclass(kind, kind_of_redis) and getattr(found, "_sock", None) is not None:
            found.disconnect()  # it sees that it is of another process
        elif issubclass(kind, _AbstractTransport) and found.sock is not None:
            found.sock.close()
            found.sock = None
        else:
            continue
        closed += 1
    return closed
