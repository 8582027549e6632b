"""Many calls, and the resources of both ends before and after: ``python -m tests.soak`` (or ``make soak``)."""
