"""docs/tour.ipynb runs from top to bottom, and shows its stored output.

``python tests/docs/test_tour.py`` runs it and stores what it shows.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"
#: Where a kernel keeps its cells.
CELLS = re.compile(r"/[^\s\"\\]*ipykernel_\d+/")


def executed():
    notebook = nbformat.read(TOUR, 4)
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    asyncio.run(client.async_execute())  # raises for a cell that fails
    return notebook


def shown(notebook):
    """Return for each code cell the kinds of its output, and the value if it is plain."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds = [(one.output_type, sorted(one.get("data", {}))) for one in cell.outputs]
            plain = [one.data["text/plain"] for one in cell.outputs if sorted(one.get("data", {})) == ["text/plain"]]
            found.append((kinds, plain))
    return found


def test_tour_output_matches_stored_output():
    stored = nbformat.read(TOUR, 4)
    nbformat.validate(stored)
    assert shown(executed()) == shown(stored)
    kinds = {kind for cell, _ in shown(stored) for _, data in cell for kind in data}
    assert {"text/html", "image/svg+xml"} <= kinds
    assert not CELLS.search(TOUR.read_text())


if __name__ == "__main__":
    notebook = executed()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    TOUR.write_text(CELLS.sub("", nbformat.writes(notebook)) + "\n")
