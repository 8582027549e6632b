"""Tables that commands print: by rich in a terminal, as plain text elsewhere."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

__all__ = ["print_table"]

#: Width of the widest cell of a plain table; longer texts continue in the next line.
_WIDTH = 36


def print_table(stdout: Any, rows: Sequence[Sequence[str]]) -> None:
    """Write ``rows`` to ``stdout`` of a command; the first row is the head."""
    if stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Column, Table
        except ImportError:
            pass
        else:
            table = Table(Column(rows[0][0], no_wrap=True), *rows[0][1:])
            for row in rows[1:]:
                table.add_row(*row)
            Console(file=stdout._out).print(table)
            return
    wrapped = [[textwrap.wrap(cell, _WIDTH) for cell in row] for row in rows]
    widths = [max(len(line) for row in wrapped for line in row[column] or [""]) for column in range(len(rows[0]))]
    for cells in wrapped:
        for lines in itertools.zip_longest(*cells, fillvalue=""):
            stdout.write("  ".join(map(str.ljust, lines, widths)).rstrip())
