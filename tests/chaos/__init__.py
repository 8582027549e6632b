"""A load of calls while everything around it breaks, and books that have to balance afterwards.

``python -m tests.chaos`` (or ``make chaos``) runs it by hand; ``test_chaos.py`` is its short form.

    servers   a broker and a database of our own, which may be killed
    scene     they, the workers and the clients, started together
    load      a client process: calls at random, and a journal of what it was told
    weather   what happens to them
    books     the journals against the database, and what the workers hold afterwards
"""
