"""Client and server on different releases of Django, each in an environment of its own.

``python -m tests.versions`` makes the environments (pip, into a cache outside the repository), and runs

- the rooms: the project's own tests within each release;
- the pairs: the tests of mirrors and of the example project by a client of one release, against a real Celery worker of
  another, over Redis and over RabbitMQ with PostgreSQL.

- `environments` finds a Python for a release of Django, and makes its environment;
- `plugin` makes a test that was written for a service in its own process meet a worker's;
- `runs` says what is run and runs it, `report` writes docs/reference/versions.md.
"""
