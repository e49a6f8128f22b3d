"""Images in a bucket: a real S3 interface on this machine, reached through the settings that an operator sets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import pytest
import time_machine
from django.core.files.storage import storages
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.importing import leftovers
from annotation.models import Campaign, Image
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.buckets import bucket, endpoint, keys_in

__all__ = ["bucket", "endpoint"]
ROW = {"id": "seen", "prompt": "What?", "image": data_uri(picture()), "completions": ["A wren.", "A robin."]}


@pytest.fixture
def image(bucket: Any, campaign: Campaign) -> Image:
    report = import_lines(campaign=campaign, lines=[json.dumps(ROW)], actor=None)
    assert report.errors == []
    return Image.objects.get(campaign=campaign)


@pytest.mark.django_db
def test_an_image_is_uploaded_served_and_deleted(bucket: Any, image: Image, clients: dict[str, APIClient]) -> None:
    assert keys_in(bucket) == {f"attune/{image.file.name}", f"attune/{image.thumbnail.name}"}
    address = f"/api/campaigns/{image.campaign_id}/images/{image.sha256}/"
    response = clients["annotator"].get(address)
    assert (response.status_code, response["Content-Type"]) == (200, "image/png")
    assert b"".join(response.streaming_content).startswith(b"\x89PNG")
    small = clients["annotator"].get(f"{address}thumbnail/")
    assert b"".join(small.streaming_content).startswith(b"RIFF")
    assert clients["stranger"].get(address).status_code == 404
    image.file.delete(save=False)
    assert keys_in(bucket) == {f"attune/{image.thumbnail.name}"}
    gone = clients["annotator"].get(address)
    assert gone.status_code == 404 and "no longer in the storage" in gone.json()["detail"]


@pytest.mark.django_db
def test_the_bucket_sends_it_under_a_signed_address(
    bucket: Any, image: Image, clients: dict[str, APIClient], settings: Any, endpoint: str
) -> None:
    settings.ATTUNE_IMAGES_ORIGIN = endpoint
    response = clients["annotator"].get(f"/api/campaigns/{image.campaign_id}/images/{image.sha256}/")
    assert response.status_code == 302
    with urlopen(response["Location"]) as sent:
        assert sent.read().startswith(b"\x89PNG")


@pytest.mark.django_db
def test_what_a_deleted_campaign_left_there_is_found_and_deleted(bucket: Any, image: Image) -> None:
    kept = storages["default"].save(
        f"images/{image.campaign_id}/{'0' * 32}.png", storages["default"].open(image.file.name)
    )
    assert list(leftovers.leftovers()) == [], "an import may be about to name it"
    with time_machine.travel(timezone.now() + leftovers.KEPT + timedelta(hours=1)):
        assert list(leftovers.leftovers()) == [kept]
        image.campaign.delete()
        assert leftovers.delete_leftovers() == 3
    assert keys_in(bucket) == set()
