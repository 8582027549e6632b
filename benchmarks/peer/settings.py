"""The server of djangoceleryrpc, on the example server's database; also its client's configuration.

Read in the peer's own environment, by its own Django. As its README has it: a broker, a result backend, no more.
"""

import os

SECRET_KEY = "only-for-the-benchmark"
INSTALLED_APPS = ["django.contrib.contenttypes", "benchmarks.peer"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_PEER_DATABASE"]}}
CELERY_RPC_CONFIG = {"broker_url": os.environ["BENCH_PEER_BROKER"], "result_backend": os.environ["BENCH_PEER_BROKER"]}
