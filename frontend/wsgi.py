"""The WSGI entry point: `granian --interface wsgi frontend.wsgi:application`."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
application = get_wsgi_application()

# What is loaded by now lives as long as the process: looking through it for garbage, again and again, cost each request
# some percent.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
