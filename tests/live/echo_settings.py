"""Settings of the echo worker: Django without apps and models, so that only the transport is tested."""

from django_rpc.demo import environment

SECRET_KEY = "only-for-the-tests"
USE_TZ = True
INSTALLED_APPS = []
DATABASES = {"default": environment.database(default="sqlite://")}
DJANGO_RPC = environment.broker()
