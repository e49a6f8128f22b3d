"""Images as they come in: what is taken is encoded anew and carries nothing but pixels, the rest has its reason."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageCms

from annotation.importing.items import Refused
from annotation.importing.pictures import MAX_BYTES, THUMBNAIL_SIDE, picture_of
from tests.annotation.pictures import animation, bomb, photograph, picture

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_each_format_stays_what_it_is_and_has_a_thumbnail(kind: str, media_type: str) -> None:
    made = picture_of(picture(kind=kind, size=(1500, 900)))
    assert (made.media_type, made.width, made.height) == (media_type, 1500, 900)
    assert opened(made.data).format == kind
    small = opened(made.thumbnail)
    assert (small.format, small.size) == ("WEBP", (THUMBNAIL_SIDE, 384))


def test_the_same_bytes_give_the_same_image() -> None:
    one, other = picture_of(picture()), picture_of(picture())
    assert one == other
    assert picture_of(picture("red")).sha256 != one.sha256


def test_place_time_and_comment_are_gone_and_the_image_stands_upright() -> None:
    sent = photograph(orientation=6)  # to be turned by 90°, clockwise
    assert b"SecretCamera" in sent and b"SecretComment" in sent
    made = picture_of(sent)
    assert (made.width, made.height) == (48, 64)
    upright = opened(made.data)
    assert b"Secret" not in made.data and b"Exif" not in made.data
    assert dict(upright.getexif()) == {} and "comment" not in upright.info
    # The mark was in the upper left corner; turned, it is in the upper right one.
    assert upright.getpixel((47, 0))[0] > 200 > upright.getpixel((0, 0))[0]
    assert b"Exif" not in made.thumbnail


def test_what_follows_the_end_of_an_image_is_not_kept() -> None:
    made = picture_of(picture() + b"<script>alert(1)</script>")
    assert b"script" not in made.data


def test_a_profile_is_applied_and_not_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = picture_of(picture(kind="JPEG", icc_profile=profile))
    assert "icc_profile" not in opened(made.data).info
    assert opened(made.data).mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_every_kind_of_pixel_can_be_shown(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    buffer = io.BytesIO()
    Image.new(mode, (10, 10)).save(buffer, kind)
    made = picture_of(buffer.getvalue())
    assert opened(made.data).mode in ("1", "L", "LA", "P", "RGB", "RGBA")


def test_transparency_stays() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(buffer, "PNG")
    assert opened(picture_of(buffer.getvalue()).data).getpixel((0, 0))[3] == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture()[:-40], "is damaged or was cut off"),
        (picture(kind="JPEG")[:300], "is damaged or was cut off"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is damaged or was cut off"),
        (bomb(), "million pixels"),
        (bomb(9_000, 9_000), "million pixels"),
        (bomb(20_000, 1), "a side of more than 16,000"),
        (SVG, "is an SVG"),
        (b"  <svg onload='alert(1)'/>", "is an SVG"),
        (animation("GIF"), "is a GIF"),
        (animation("PNG"), "moves"),
        (animation("WEBP"), "moves"),
        (picture(kind="BMP"), "is a bitmap"),
        (picture(kind="TIFF"), "is a TIFF"),
        (b"hello", "is no PNG, JPEG or WebP"),
        (b"", "is no PNG, JPEG or WebP"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is damaged"),
        (b"\xff" * (MAX_BYTES + 1), "has more than 20 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_svg_and_what_else_cannot_be_taken_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        picture_of(data)
