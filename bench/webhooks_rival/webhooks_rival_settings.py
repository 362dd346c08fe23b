"""Settings for dj-stripe, which has an environment of its own."""

import os
from urllib.parse import urlsplit

SECRET_KEY = "of a bench"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "djstripe"]
# It tells the length of an answer, without which the connection would be closed after it.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
LOGGING_CONFIG = None
_url = urlsplit(os.environ["RIVAL_DATABASE"])
# As the console's: write-ahead log, and each commit waits for the disk. Nobody is told that the file is locked.
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": _url.path[1:],
    "OPTIONS": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        "transaction_mode": "IMMEDIATE",
        "timeout": 600,
    },
}
_POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": _url.path[1:],
    "USER": _url.username,
    "HOST": _url.hostname,
    "PORT": _url.port,
}
DATABASES = {"default": {**(_SQLITE if _url.scheme == "sqlite" else _POSTGRESQL), "CONN_MAX_AGE": 60}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "webhooks_rival_settings"
STRIPE_API_HOST = os.environ["STRIPE_API_BASE"]
STRIPE_TEST_SECRET_KEY = os.environ["RIVAL_KEY"]
STRIPE_LIVE_MODE = False
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
USE_TZ = True


def __getattr__(name: str) -> object:
    if name == "urlpatterns":  # Importing them needs the settings that stand above.
        from django.urls import include, path

        return [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
    raise AttributeError(name)
