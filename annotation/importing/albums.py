"""The images of one import: encoded into a folder of their own, and stored with the items that show them."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from django.core.files import File
from django.db import transaction
from django.utils.translation import gettext as _

from annotation.importing.attachments import Files, NoFiles
from annotation.importing.items import Refused
from annotation.importing.pictures import Picture, picture_of
from annotation.messages import Part
from annotation.models import Campaign, Image


class Album:
    """Images by their hash. They wait on disk, so that an import takes the memory of one of them."""

    def __init__(self, campaign: Campaign, files: Files | None = None) -> None:
        self._campaign = campaign
        self.files: Files = files or NoFiles()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._waiting: dict[str, Image] = {}  # by sha256; not stored yet
        self._by_source: dict[str, Part] = {}
        self._refused: dict[str, str] = {}

    def __enter__(self) -> Album:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, data: bytes) -> Part:
        """Return the part for an image that was sent; raises `Refused` when it cannot be taken."""
        source = hashlib.sha256(data).hexdigest()
        if source in self._refused:
            raise Refused(self._refused[source])
        if source not in self._by_source:
            stored = Image.objects.filter(campaign=self._campaign, source_sha256=source).first()
            try:
                self._by_source[source] = _part(stored or self._encode(data))
            except Refused as refused:
                self._refused[source] = str(refused)
                raise
        return dict(self._by_source[source])

    def known(self, sha256: str) -> Part:
        """Return the part for an image that is in the campaign already; raises `Refused` when it is not."""
        image = self._waiting.get(sha256) or Image.objects.filter(campaign=self._campaign, sha256=sha256).first()
        if image is None:
            raise Refused(_("is named by a hash that no image of this campaign has; send the image itself"))
        return _part(image)

    def has(self, sha256: str) -> bool:
        """Return whether an image is in the campaign already, or is about to be."""
        return sha256 in self._waiting or Image.objects.filter(campaign=self._campaign, sha256=sha256).exists()

    def borrow(self, image: Image) -> Part:
        """Return the part for an image of another campaign, which becomes one of this campaign as it is there."""
        if not self.has(image.sha256):
            with image.file.open() as whole, image.thumbnail.open() as small:
                self._put_aside(image, whole=whole.read(), small=small.read())
        return self.known(image.sha256)

    def thumbnail(self, sha256: str) -> bytes:
        """Return the small WebP of an image in here, stored or not."""
        if sha256 in self._waiting:
            return self._path(sha256, "small").read_bytes()
        with Image.objects.get(campaign=self._campaign, sha256=sha256).thumbnail.open() as file:
            return file.read()

    def keep(self, hashes: Collection[str]) -> None:
        """Store those of the images that are not stored yet: first their files, then, at once, their rows.

        Call it before the items that show them are stored, and outside that transaction, which others wait for.
        """
        wanted = [self._waiting[sha256] for sha256 in hashes if sha256 in self._waiting]
        if not wanted:
            return
        saved: list[Image] = []
        try:
            for image in wanted:
                saved.append(image)
                ending = image.media_type.removeprefix("image/")
                image.file.save(f"i.{ending}", File(self._open(image.sha256, "whole")), save=False)
                image.thumbnail.save("i.webp", File(self._open(image.sha256, "small")), save=False)
            with transaction.atomic():
                # Another import may have been faster with the same image.
                Image.objects.bulk_create(wanted, ignore_conflicts=True)
        except BaseException:
            _discard(saved)
            raise
        rows = Image.objects.filter(campaign=self._campaign, sha256__in=[image.sha256 for image in wanted])
        used = set(rows.values_list("file", flat=True))
        _discard([image for image in wanted if image.file.name not in used])
        for image in wanted:
            del self._waiting[image.sha256]
            for size in ("whole", "small"):
                self._path(image.sha256, size).unlink()

    def _encode(self, data: bytes) -> Image:
        picture = picture_of(data)
        if picture.sha256 not in self._waiting:
            stored = Image.objects.filter(campaign=self._campaign, sha256=picture.sha256).first()
            if stored is not None:
                return stored
            self._put_aside(picture, whole=picture.data, small=picture.thumbnail)
        return self._waiting[picture.sha256]

    def _put_aside(self, image: Image | Picture, *, whole: bytes, small: bytes) -> None:
        """Hold an image with its files until it is kept."""
        self._path(image.sha256, "whole").write_bytes(whole)
        self._path(image.sha256, "small").write_bytes(small)
        self._waiting[image.sha256] = Image(
            campaign=self._campaign,
            sha256=image.sha256,
            source_sha256=image.source_sha256,
            media_type=image.media_type,
            width=image.width,
            height=image.height,
        )

    def _path(self, sha256: str, size: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        return Path(self._folder.name) / f"{sha256}-{size}"

    def _open(self, sha256: str, size: str) -> io.BytesIO:
        return io.BytesIO(self._path(sha256, size).read_bytes())


def _part(image: Image) -> Part:
    return {"type": "image", "image": image.sha256, "width": image.width, "height": image.height, "alt": ""}


def _discard(images: list[Image]) -> None:
    for image in images:
        for file in (image.file, image.thumbnail):
            if file:
                file.delete(save=False)
