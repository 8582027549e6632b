"""Many calls, and what both ends hold before and after: ``python -m tests.soak`` (or ``make soak``) by hand."""
