"""Settings of the example client for Django's admin; users and sessions are in the database of the client."""

from django_rpc.demo import environment
from django_rpc.demo.client import settings as client
from django_rpc.demo.client.settings import (  # noqa: F401 (settings are read by name)
    DATABASE_ROUTERS,
    DEFAULT_AUTO_FIELD,
    LOGGING,
    SECRET_KEY,
    TIME_ZONE,
    USE_TZ,
)

DEBUG = environment.flag(environment.DEBUG)
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "django_rpc.demo.client.site.urls"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *client.INSTALLED_APPS,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# No migrations: `migrate --run-syncdb` makes all tables at once.
MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions"])

DATABASES = {
    **client.DATABASES,
    "default": environment.site_database(),
}
