"""Pairs of graphs for each rewrite: the graph before the rewrite, and the equal graph after it.

`test_rewrites.py` compares their nodes. `tests/models/test_rewrites.py` executes both.
"""

from .case import Case
from .cull import CASES as CULL
from .fold import CASES as FOLD
from .merge import CASES as MERGE
from .nest import CASES as NEST

__all__ = ["CASES", "Case"]

#: The cases by the name of the rule.
CASES = {"nest_queries": NEST, "fold_literals": FOLD, "merge_reads": MERGE, "cull": CULL}
