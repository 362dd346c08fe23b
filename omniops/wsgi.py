"""The console for a WSGI server. A wrong environment stops it here, as it stops a command."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
application = get_wsgi_application()
call_command("check")

from console.worker import embed  # noqa: E402  models have to be loaded first

embed()
