"""Images over REST: for the people of their campaign alone, and never anything that a browser would run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from annotation.models import Campaign, Image, Task
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture, zipped
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def image(campaign: Campaign) -> Image:
    row = {"id": "seen", "prompt": "What?", "image": data_uri(picture()), "completions": ["A wren.", "A robin."]}
    assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
    return Image.objects.get(campaign=campaign)


def address(image: Image, *, sha256: str = "") -> str:
    return f"/api/campaigns/{image.campaign_id}/images/{sha256 or image.sha256}/"


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_members_see_it_and_strangers_learn_nothing(
    clients: dict[str, APIClient], campaign: Campaign, image: Image
) -> None:
    for caller in ("annotator", "engineer", "lead"):
        response = clients[caller].get(address(image), headers={"accept": "image/avif,image/webp"})
        assert (response.status_code, response["Content-Type"]) == (200, "image/png"), caller
        assert body(response).startswith(b"\x89PNG")
    member_elsewhere = make_user()
    make_campaign(annotators=[member_elsewhere])
    elsewhere = APIClient()
    elsewhere.force_login(member_elsewhere)
    for client in (clients["stranger"], elsewhere):
        there, nowhere = client.get(address(image)), client.get(address(image, sha256="0" * 64))
        assert there.status_code == nowhere.status_code == 404
        assert there.json() == nowhere.json()
        assert client.get(address(image) + "thumbnail/").status_code == 404
    assert clients["anonymous"].get(address(image)).status_code == 401


def test_a_member_of_two_campaigns_finds_it_in_its_own_only(clients: dict[str, APIClient], image: Image) -> None:
    other = make_campaign(lead=make_user())
    client = APIClient()
    client.force_login(other.created_by)
    assert client.get(f"/api/campaigns/{other.pk}/images/{image.sha256}/").status_code == 404
    for wrong in ("x", "%00", "..%2f..%2fsecret_key", image.file.name.rsplit("/", 1)[1]):
        assert clients["lead"].get(address(image, sha256=wrong)).status_code == 404


def test_it_may_be_kept_privately_and_runs_nothing(clients: dict[str, APIClient], image: Image) -> None:
    response = clients["annotator"].get(address(image))
    assert response["Cache-Control"] == "private, max-age=86400, immutable"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert clients["annotator"].get(address(image), headers={"if-none-match": response["ETag"]}).status_code == 304
    small = clients["annotator"].get(address(image) + "thumbnail/")
    assert small["Content-Type"] == "image/webp" and body(small).startswith(b"RIFF")


def test_a_proxy_may_send_the_bytes(clients: dict[str, APIClient], image: Image, settings: Any) -> None:
    settings.ATTUNE_IMAGES_ACCEL = "/protected-media/"
    response = clients["annotator"].get(address(image))
    assert response["X-Accel-Redirect"] == f"/protected-media/{image.file.name}"
    assert response.content == b"" and response["Content-Type"] == "image/png"
    assert clients["stranger"].get(address(image)).status_code == 404


def test_a_bucket_may_send_them_under_a_signed_address(
    clients: dict[str, APIClient], image: Image, settings: Any
) -> None:
    settings.ATTUNE_IMAGES_ORIGIN = "https://pictures.example.org"
    bucket = {
        "bucket_name": "pictures",
        "endpoint_url": "https://pictures.example.org",
        "access_key": "k",
        "secret_key": "s",
        "region_name": "eu-central-1",
        "location": "attune",
        "querystring_expire": 300,
        "signature_version": "s3v4",
    }
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": bucket},
    }
    response = clients["annotator"].get(address(image))
    assert response.status_code == 302
    assert response["Location"].startswith(f"https://pictures.example.org/pictures/attune/{image.file.name}?")
    assert "X-Amz-Signature=" in response["Location"] and "X-Amz-Expires=300" in response["Location"]
    assert response["Cache-Control"] == "private, max-age=120"
    assert clients["stranger"].get(address(image)).status_code == 404


def test_a_file_that_is_gone_is_told(clients: dict[str, APIClient], image: Image) -> None:
    default_storage.delete(image.file.name)
    response = clients["lead"].get(address(image))
    assert response.status_code == 404 and "no longer in the storage" in response.json()["detail"]


@pytest.mark.parametrize("by_form", [True, False])
def test_an_archive_comes_in_as_a_form_or_as_the_body(
    clients: dict[str, APIClient], campaign: Campaign, by_form: bool
) -> None:
    rows = [
        {"id": "good", "prompt": "A bird", "completions": [{"image": "a.png"}, {"image": "b.png"}]},
        {"id": "bad", "prompt": "A bird", "completions": [{"image": "a.png"}, {"image": "c.png"}]},
    ]
    lines = "\n".join(map(json.dumps, rows))
    data = zipped({"rows.jsonl": lines, "a.png": picture("red"), "b.png": picture("blue")})
    path = f"/api/campaigns/{campaign.pk}/import/"
    if by_form:
        file = SimpleUploadedFile("set.zip", data, content_type="application/zip")
        response = clients["engineer"].post(path, {"file": file}, format="multipart")
    else:
        response = clients["engineer"].post(path, data, content_type="application/zip")
    report = response.json()
    assert (response.status_code, report["created"], report["failed"]) == (207, 1, 1), report
    assert report["errors"][0] == {
        "line": 2,
        "reason": "The image of completion 2 'c.png' is not in the archive.",
        **({"file": ""} if "file" in report["errors"][0] else {}),
    }
    assert Task.objects.filter(campaign=campaign, external_id="good").exists()
