"""Run random programs on local models and through mirrors, and compare the results."""

import sys

from tests.semantics.runner import main

if __name__ == "__main__":
    sys.exit(main())
