"""``python guard.py PARENT GROUP [FOLDER]``: end a process group when its parent is gone.

A ``finally`` cannot run in a process that is killed. So beside each process that the demo or a test
starts stands this small one: it waits until the PARENT has died, kills the GROUP (a worker with
its pool, even one that is stopped) and removes the FOLDER. When the parent stops the process by
itself, it ends the guard as well. Works on any POSIX system, and whichever thread started it.
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
