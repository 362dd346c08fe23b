"""Settings for dj-stripe, which has an environment of its own."""

import os

SECRET_KEY = "of a bench"
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "djstripe"]
# As the console's: write-ahead log, and each commit waits for the disk.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["RIVAL_DATABASE"],
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
            "transaction_mode": "IMMEDIATE",
        },
    }
}
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
