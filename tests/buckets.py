"""A bucket for tests: a real S3 interface on this machine, reached through the settings that an operator sets."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "pictures"
KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "eu-central-1"}
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
    settings.STORAGES = {**settings.STORAGES, **_storages(endpoint)}
    assert settings.STORAGES["default"]["BACKEND"] == "storages.backends.s3.S3Storage"
    yield client
    for key in keys_in(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def shared_files(bucket: Any, endpoint: str, settings: Any) -> Any:
    """Return a bucket that holds the files folder as well."""
    settings.STORAGES = {**settings.STORAGES, **_storages(endpoint, FILES_IN_BUCKET="true")}
    return bucket


@functools.cache
def _storages(endpoint: str, **more: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "frontend.settings",
        "BUCKET_NAME": BUCKET,
        "BUCKET_ENDPOINT": endpoint,
        "BUCKET_REGION": KEYS["region_name"],
        "BUCKET_KEY": KEYS["aws_access_key_id"],
        "BUCKET_SECRET": KEYS["aws_secret_access_key"],
        **more,
    }
    read = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(read.stdout)
    return {name: found[name] for name in ("default", "files") if name in found}


def keys_in(client: Any) -> set[str]:
    return {one["Key"] for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}
