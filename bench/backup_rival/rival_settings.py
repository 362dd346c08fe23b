"""Settings for django-dbbackup, which has an environment of its own."""

import os

SECRET_KEY = "of a bench"
INSTALLED_APPS = ["dbbackup"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["RIVAL_DATABASE"]}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "dbbackup": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": os.environ["RIVAL_FOLDER"]},
    },
}
USE_TZ = True
