"""Settings for Django's own test suite over the D1 backend. The environment names the engine and two databases."""

import os

_ENGINE = {
    "ENGINE": "d1",
    "USER": os.environ["SUITE_ACCOUNT"],
    "PASSWORD": os.environ["SUITE_TOKEN"],
    "OPTIONS": {"api_base": os.environ["SUITE_API_BASE"]},
}
DATABASES = {
    alias: {**_ENGINE, "NAME": name, "TEST": {"NAME": name}}
    for alias, name in zip(("default", "other"), os.environ["SUITE_DATABASES"].split(","), strict=True)
}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "suite_runner.SuiteRunner"
