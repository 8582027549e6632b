"""``python guard.py PARENT GROUP [FOLDER]``: end a process group when its parent has ended.

A killed process cannot run a ``finally``. So the demo and the tests start this small process with each of their
processes. It waits until the PARENT has ended, kills the GROUP (a worker with its pool, even if it is stopped) and
removes the FOLDER. A parent that stops the process itself also ends the guard. The guard works on any POSIX system, and
for processes that any thread starts.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

INTERVAL = 0.25


def main(parent: int, group: int, folder: str | None = None) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    with contextlib.suppress(ProcessLookupError):  # it ended by itself: nothing to do
        os.killpg(group, signal.SIGKILL)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4])
