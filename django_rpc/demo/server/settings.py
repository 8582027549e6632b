"""Settings of the example server. ``django_rpc.demo.environment`` lists the variables it takes."""

import django

from django_rpc.demo import environment

SECRET_KEY = "only-for-the-demo"
DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_rpc",
    "django_rpc.server",
    "django_rpc.demo.server.shop",
    "django_rpc.demo.server.rpc_server",
    "django_rpc.demo.server.zoo",
]

# No migrations: `migrate --run-syncdb` makes all tables at once, those of Django's apps as well.
MIGRATION_MODULES = {"auth": None, "contenttypes": None}

DATABASES = {"default": environment.database()}

if DATABASES["default"]["ENGINE"].endswith("sqlite3") and django.VERSION >= (5, 1):
    # Several worker processes on one file: readers do not wait for a writer, and a transaction
    # that will write waits for its turn at its beginning, where the timeout counts.
    DATABASES["default"]["OPTIONS"].update(transaction_mode="IMMEDIATE", init_command="PRAGMA journal_mode=WAL;")

if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql  # a driver without a compiler; Django imports MySQLdb by name

    pymysql.install_as_MySQLdb()

DJANGO_RPC = {
    **environment.broker(),
    "STRICT": True,
    "SHOW_SQL": True,  # the demo prints the SQL of each step; a real service leaves this off
    "SHOW_TRACEBACK": environment.flag(environment.TRACEBACK),
}

LOGGING = environment.logging()
