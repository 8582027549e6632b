"""``python -m django_rpc.demo.prepare``: make the tables of the example server and fill them.

Takes DJANGO_SETTINGS_MODULE and the variables of ``environment``; the one argument is a JSON
object with the keyword arguments of ``shop.data.load``, or ``null`` for tables without rows.
Prints the number of rows by model as JSON.
"""

from __future__ import annotations

import json
import sys

import django
from django.core.management import call_command


def main() -> None:
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    django.setup()
    from django_rpc.demo.server.shop.data import load

    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    counts = {} if options is None else load(**options)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
