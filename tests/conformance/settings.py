"""The settings of Django's own test run (``runtests.py``, ``test_sqlite.py``), with a service beside its databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance.services import SERVICES
from tests.conformance.substitution import PREFIX

__all__ = ["NoTablesForMirrors", "make_settings"]

_ALWAYS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sites",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.staticfiles",
]

_MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

_MORE = {
    "flatpages_tests": ["django.contrib.flatpages"],
    "redirects_tests": ["django.contrib.redirects"],
}


class NoTablesForMirrors:
    """The tables are the server's; the second import has none of its own, not even between two models of it."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label.startswith(PREFIX) else None


def make_settings(tests: Path, labels: list[str], kind: str) -> dict[str, Any]:
    """What ``settings.configure()`` gets to run the test app ``labels[0]``, with the apps that it needs."""
    sqlite = {"ENGINE": "django.db.backends.sqlite3"}
    databases: dict[str, Any] = {"default": dict(sqlite), "other": dict(sqlite)}
    routers = ["tests.conformance.settings.NoTablesForMirrors"]
    apps = [*_ALWAYS, *_MORE.get(labels[0], ())]
    if kind == "mirror":
        for alias in SERVICES.values():
            databases[alias] = {
                "ENGINE": "django_rpc.backend",
                "BROKER_URL": "memory://",
                "RESULT_BACKEND": "cache+memory://",
                "CELERY": {"task_always_eager": True},
            }
        routers.append("django_rpc.routers.RpcRouter")
        apps.append("django_rpc")
    return {
        "DATABASES": databases,
        "DATABASE_ROUTERS": routers,
        "DJANGO_RPC": {"SHOW_TRACEBACK": True, "SHOW_SQL": True},  # errors with their full text, explain()
        "INSTALLED_APPS": [*apps, *labels, *[PREFIX + label for label in labels]],
        "MIGRATION_MODULES": dict.fromkeys(["auth", "contenttypes", "sessions", *[PREFIX + label for label in labels]]),
        "ROOT_URLCONF": "urls",
        "MIDDLEWARE": _MIDDLEWARE,
        "TEMPLATES": [_templates(tests)],
        "STATIC_URL": "static/",
        "LANGUAGE_CODE": "en",
        "SITE_ID": 1,
        "SECRET_KEY": "django_tests_secret_key",
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        "USE_TZ": False,
        "SILENCED_SYSTEM_CHECKS": ["fields.W342"],
        "LOGGING": {"version": 1, "disable_existing_loggers": False, "loggers": {"django": {"level": "ERROR"}}},
    }


def _templates(tests: Path) -> dict[str, Any]:
    processors = [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [str(tests / "templates")],
        "OPTIONS": {
            "context_processors": processors,
            "loaders": ["django.template.loaders.filesystem.Loader", "tests.conformance.templates.Loader"],
        },
    }
