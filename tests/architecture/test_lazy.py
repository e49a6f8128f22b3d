"""What the web server and the workers must not load: looked at in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "transformers", "peft", "accelerate", "numpy", "datasets", "scipy", "pandas", "pyarrow"]

WEB = """
import sys, json, importlib, pkgutil
import django
django.setup()
from django.urls import get_resolver
def resolve(resolver):
    for entry in resolver.url_patterns:
        if hasattr(entry, "url_patterns"):
            resolve(entry)
resolve(get_resolver())
import annotation, training, frontend
def load(package):  # walk_packages would import the packages of training.core to look into them
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        skipped = ("training.core", "frontend.settings", "annotation.demo")
        if not module.name.startswith(skipped) and ".migrations" not in module.name:
            found = importlib.import_module(module.name)
            if module.ispkg:
                load(found)
for package in (annotation, training, frontend):
    load(package)
from training.celery import app
app.loader.import_default_modules()
assert "training.tasks.execute_run" in app.tasks, sorted(app.tasks)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

START = """
import django
django.setup()
from django.urls import get_resolver
get_resolver().url_patterns
"""

# The same without a line of ours.
LIBRARIES = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=[
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "rest_framework", "drf_spectacular", "django_htmx",
], ROOT_URLCONF="django.contrib.auth.urls")
django.setup()
import celery.app, drf_spectacular.views, kombu.connection, rest_framework.generics
from django.contrib import admin
from django.urls import get_resolver
admin.site.urls
get_resolver().url_patterns
"""

CORE = """
import sys, json, importlib, pkgutil
import training.core
for module in pkgutil.walk_packages(training.core.__path__, "training.core."):
    importlib.import_module(module.name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

RECIPES = CORE.replace("training.core", "training.recipes")


def modules_after(code: str, home: Path) -> set[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "frontend.settings", "ATTUNE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_module_of_web_and_worker_loads_without_the_heavy_packages(tmp_path: Path):
    loaded = modules_after(WEB, tmp_path)
    assert {"django", "celery", "rest_framework", "annotation", "training", "frontend"} <= loaded
    assert loaded & set(HEAVY) == set()


COUNTED = """
import sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
sys.setprofile(count)
{code}
sys.setprofile(None)
print(calls)
"""


def calls_of(code: str, home: Path) -> int:
    """Return how many Python functions a fresh interpreter calls for `code`: unlike its seconds the same on any day."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "frontend.settings", "ATTUNE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", COUNTED.format(code=code)],
        cwd=ROOT, env=environment, check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout.splitlines()[-1])


def test_the_start_of_the_web_is_that_of_the_libraries_it_stands_on(tmp_path: Path):
    """Over half of a start is the libraries'; a package loaded for nothing, or work done at import, would show."""
    ours, theirs = (calls_of(code, tmp_path) for code in (START, LIBRARIES))
    assert ours < 2 * theirs, (ours, theirs)


def test_the_core_loads_without_django(tmp_path: Path):
    loaded = modules_after(CORE, tmp_path)
    assert "torch" in loaded
    assert loaded & {"django", "celery", "rest_framework", "annotation", "frontend", "kombu"} == set()


def test_recipes_load_with_the_standard_library_alone(tmp_path: Path):
    loaded = modules_after(RECIPES, tmp_path)
    assert loaded & {*HEAVY, "django", "celery"} == set()
