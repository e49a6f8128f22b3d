"""Files of images that no row points to go after a week; whatever a row points to stays."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from annotation.importing import leftovers
from annotation.models import Campaign, Image
from annotation.services.intake import import_lines
from annotation.tasks import delete_leftovers
from tests.annotation.pictures import data_uri, picture
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db
A_WEEK_LATER = timedelta(days=7, hours=1)


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path) -> None:
    """Keep the files of other tests, which no row points to any more, out of these."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}


def illustrated() -> Campaign:
    campaign = make_campaign()
    row = {"prompt": "What?", "image": data_uri(picture()), "completions": ["A wren.", "A tit."]}
    assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
    return campaign


def files() -> int:
    folders, _ = default_storage.listdir("images")
    return sum(len(default_storage.listdir(f"images/{folder}")[1]) for folder in folders)


def test_a_deleted_campaign_leaves_nothing_after_a_week() -> None:
    stays, goes = illustrated(), illustrated()
    goes.delete()
    delete_leftovers()
    assert files() == 4, "a backup of the database may still point to them"
    with time_machine.travel(timezone.now() + A_WEEK_LATER):
        delete_leftovers()
        delete_leftovers()
    assert files() == 2
    with Image.objects.get(campaign=stays).thumbnail.open() as file:
        assert file.read().startswith(b"RIFF")


def test_without_a_single_image_there_is_nothing_to_do() -> None:
    assert leftovers.delete_leftovers() == 0


def test_the_command_names_them_before_it_deletes_them() -> None:
    campaign = illustrated()
    stray = default_storage.save(f"images/{campaign.pk}/{'0' * 32}.png", ContentFile(b"x"))
    said = io.StringIO()
    call_command("delete_leftovers", "--dry-run", stdout=said)
    assert said.getvalue() == "0 files would be deleted\n"
    call_command("delete_leftovers", "--dry-run", "--days", "0", stdout=said)
    assert said.getvalue().endswith(f"{stray}\n1 files would be deleted\n")
    call_command("delete_leftovers", "--days", "0", stdout=said)
    assert said.getvalue().endswith("1 files deleted\n") and files() == 2
