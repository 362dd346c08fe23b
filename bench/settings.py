"""The console's settings, with a stock Django admin over the same tables beside it."""

from omniops.settings import *  # noqa: F403
from omniops.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "bench.stock"]
ROOT_URLCONF = "bench.urls"
ALLOWED_HOSTS = ["testserver"]
