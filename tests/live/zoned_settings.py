"""The example server in another zone and language than the tests."""

import os

from django_rpc.demo.server.settings import *  # noqa: F403

TIME_ZONE = os.environ.get("ZONED_TIME_ZONE", "America/St_Johns")
USE_TZ = os.environ.get("ZONED_USE_TZ", "1") == "1"
LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", "French"), ("de", "German"), ("en", "English")]
