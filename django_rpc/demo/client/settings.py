"""Settings of the example client: the four keys of ``rpc``, the router, and nothing more."""

from django_rpc.demo import environment

SECRET_KEY = "only-for-the-demo"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_rpc",
    "django_rpc.demo.client.shop",
    "django_rpc.demo.client.seed",
    "django_rpc.demo.client.zoo",
]

DATABASES = {
    "default": environment.parse_database("sqlite://"),
    "rpc": environment.broker(),
}
DATABASE_ROUTERS = ["django_rpc.routers.RpcRouter"]

LOGGING = environment.logging()
