"""Django's own ORM tests, run through mirror models.

``python -m tests.conformance basic lookup`` fetches the source distribution of the installed Django, and runs the
tests of its test apps ``basic`` and ``lookup`` twice, each time with other models in place of the app's own: with
mirrors, whose every query goes through the wire's bytes to the app's models, and, as a control, with plain unmanaged
models on the same tables.  What fails in the control too is the substitution's fault and is left out.

- `source` fetches Django's tests;
- `substitution` imports a test app a second time, with other models;
- `observe` counts what is asked, and finds SQL that went past the server;
- `child` runs one app in one process;
- `report` puts a test's two runs together: the table, the causes, ``docs/conformance.md``.
"""
