"""The console for a ASGI server. A wrong environment stops it here, as it stops a command."""

import os

from django.core.asgi import get_asgi_application
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
application = get_asgi_application()
call_command("check")

from console.worker import embed  # noqa: E402  models have to be loaded first

embed()
