"""Images in a bucket: a real S3 interface on this machine, reached through the settings that an operator sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
import time_machine
from django.core.files.storage import storages
from django.utils import timezone
from moto.server import ThreadedMotoServer
from rest_framework.test import APIClient

from annotation.importing import leftovers
from annotation.models import Campaign, Image
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture

BUCKET = "pictures"
KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "eu-central-1"}
ROW = {"id": "seen", "prompt": "What?", "image": data_uri(picture()), "completions": ["A wren.", "A robin."]}
# What the settings make of the environment, read as a process reads it that starts.
READ = "import json, django; django.setup(); from django.conf import settings; print(json.dumps(settings.STORAGES))"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, settings: Any) -> Iterator[Any]:
    """Return an empty bucket in which this process keeps its files from now on, by the settings themselves."""
    client = boto3.client("s3", endpoint_url=endpoint, **KEYS)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": KEYS["region_name"]})
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "frontend.settings",
        "BUCKET_NAME": BUCKET,
        "BUCKET_ENDPOINT": endpoint,
        "BUCKET_REGION": KEYS["region_name"],
        "BUCKET_KEY": KEYS["aws_access_key_id"],
        "BUCKET_SECRET": KEYS["aws_secret_access_key"],
    }
    read = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True)
    settings.STORAGES = {**settings.STORAGES, "default": json.loads(read.stdout)["default"]}
    assert settings.STORAGES["default"]["BACKEND"] == "storages.backends.s3.S3Storage"
    yield client
    for key in keys_in(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)


def keys_in(client: Any) -> set[str]:
    return {one["Key"] for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}


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
