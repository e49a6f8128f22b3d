"""Images for tests, made on the spot."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image, ImageDraw


def picture(
    colour: str = "steelblue", *, size: tuple[int, int] = (64, 48), kind: str = "PNG", mode: str = "RGB", **saved: Any
) -> bytes:
    """Return the bytes of an image with a mark in its upper left corner, so that turning it shows."""
    made = Image.new(mode, size, colour)
    ImageDraw.Draw(made).rectangle((0, 0, size[0] // 4, size[1] // 4), fill="white")
    buffer = io.BytesIO()
    made.save(buffer, kind, **saved)
    return buffer.getvalue()


def photograph(*, orientation: int = 1) -> bytes:
    """Return a JPEG that says where, when and with what it was taken."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)})
    return picture(kind="JPEG", exif=exif, comment=b"SecretComment")


def animation(kind: str) -> bytes:
    """Return two frames in one file."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """Return a PNG of a few bytes that says it has 900 million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def data_uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
