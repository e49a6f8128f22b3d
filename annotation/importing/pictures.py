"""Images as they come in: checked, turned upright, stripped of all but their pixels, and encoded anew.

Nothing of the file that was sent is kept: no EXIF with its places and names, no comments, no bytes behind the end that
another program would take for something else. Formats that can carry scripts (SVG) or move (GIF) are not taken.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.importing.items import Refused

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 40_000_000  # decoded, about 160 MB of memory
MAX_SIDE = 16_000  # WebP has room for 16,383
THUMBNAIL_SIDE = 640
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_KNOWN_OTHERS = {
    b"GIF8": gettext_lazy("a GIF"),
    b"<svg": gettext_lazy("an SVG, which can carry scripts"),
    b"<?xml": gettext_lazy("an SVG or other XML, which can carry scripts"),
    b"<!DOCTYPE": gettext_lazy("an SVG or other XML, which can carry scripts"),
    b"BM": gettext_lazy("a bitmap (BMP)"),
    b"II*\x00": gettext_lazy("a TIFF"),
    b"MM\x00*": gettext_lazy("a TIFF"),
    b"%PDF": gettext_lazy("a PDF"),
}
# Of what is lossy already; losses that anybody could see would change what is judged.
_QUALITY = {"JPEG": {"quality": 92, "subsampling": 0}, "WEBP": {"quality": 92}, "PNG": {}}


@dataclass(frozen=True)
class Picture:
    """An image as it will be stored."""

    data: bytes
    thumbnail: bytes  # WebP
    media_type: str
    width: int
    height: int
    sha256: str  # of `data`
    source_sha256: str


def looks_like_one(data: bytes) -> bool:
    """Return whether bytes begin as an image does that can be taken."""
    return data.startswith(_MAGIC)


def media_type_of(data: bytes) -> str:
    """Return what an image says it is by its first bytes."""
    kinds = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg"}
    return next((kind for magic, kind in kinds.items() if data.startswith(magic)), "image/webp")


def picture_of(data: bytes) -> Picture:
    """Return the image in `data`, encoded anew; raises `Refused` for what is none, is damaged, too large or moves."""
    from PIL import Image

    if len(data) > MAX_BYTES:
        raise Refused(_("has more than {most} MiB; make it smaller"), most=MAX_BYTES // 1024**2)
    begins = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    other = next((what for magic, what in _KNOWN_OTHERS.items() if begins.startswith(magic)), None)
    if other is not None:
        raise Refused(_("is {other}; save it as PNG, JPEG or WebP"), other=other)
    if not looks_like_one(data):
        raise Refused(_("is no PNG, JPEG or WebP image"))
    try:
        with warnings.catch_warnings():
            # Its own bound on pixels is looser than ours, and is asked first.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as opened:
                return _encoded(opened, data)
    except Refused:
        raise
    except Image.DecompressionBombError:
        raise Refused(_too_many_pixels()) from None
    except Exception:  # each decoder fails in its own way on bytes that were made to make it fail
        raise Refused(_("is damaged or was cut off; save it again")) from None


def _encoded(opened: Image.Image, data: bytes) -> Picture:
    from PIL import ImageOps

    # A telephone's photograph with a second picture behind it (MPO) is its first one.
    name = "JPEG" if opened.format == "MPO" else str(opened.format)
    width, height = opened.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused(_too_many_pixels())
    if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:  # not every format's reader counts frames
        raise Refused(_("moves; choose one frame of it and save that as PNG, JPEG or WebP"))
    opened.load()
    picture = _plain(ImageOps.exif_transpose(_in_srgb(opened)), name)
    whole = _saved(picture, name)
    small = picture.convert("RGBA" if picture.mode in ("RGBA", "LA", "P") else "RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return Picture(
        data=whole,
        thumbnail=_saved(small, "WEBP"),
        media_type=FORMATS[name],
        width=picture.width,
        height=picture.height,
        sha256=hashlib.sha256(whole).hexdigest(),
        source_sha256=hashlib.sha256(data).hexdigest(),
    )


def _in_srgb(opened: Image.Image) -> Image.Image:
    """Return the image in the colours of the web: its profile, which says what its numbers mean, is not kept."""
    from PIL import ImageCms

    profile = opened.info.get("icc_profile")
    if not profile:
        return opened
    mode = "RGBA" if "A" in opened.getbands() else "RGB"
    try:
        made = ImageCms.profileToProfile(
            opened, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return opened  # a profile that is damaged, or for another kind of pixels, says nothing
    if made is None:
        return opened
    made.info = {name: value for name, value in opened.info.items() if name != "icc_profile"}
    return made


def _plain(picture: Image.Image, name: str) -> Image.Image:
    """Return the pixels in a mode that the format and every browser know, without anything beside them."""
    modes = {"JPEG": ("L", "RGB"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"), "WEBP": ("RGB", "RGBA")}[name]
    mode = picture.mode
    if mode not in modes or (mode == "P" and "transparency" in picture.info):
        transparent = name != "JPEG" and (picture.has_transparency_data or mode in ("LA", "PA", "RGBa", "La"))
        if mode.startswith(("I", "F")):  # 16 bits a pixel: scaled, where converting would cut them off
            picture = picture.point(lambda value: value / 257).convert("L")
        picture = picture.convert("RGBA" if transparent else "RGB")
    else:
        picture = picture.copy()
    picture.info = {}
    return picture


def _saved(picture: Image.Image, name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, exif=b"", **_QUALITY[name])
    return buffer.getvalue()


def _too_many_pixels() -> str:
    return _("has more than {pixels} million pixels or a side of more than {side:,}; make it smaller").format(
        pixels=MAX_PIXELS // 1_000_000, side=MAX_SIDE
    )
