"""A read that takes its time."""

import time

from deadly_app import FOLDER
from django_rpc.server import site


@site.function(reads_only=True)
def linger(name):
    with (FOLDER / name).open("a") as file:
        file.write("ran\n")
    time.sleep(2.5)
    return name
