"""Marks videos: XMP in a box of MP4 and MOV, tags in Matroska and WebM."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from photo2cartoon.provenance.credentials import is_wanted, sign_stream
from photo2cartoon.provenance.mark import LARGEST_PACKET, Mark, read_packet

BOXED, TAGGED = (".mp4", ".mov"), (".mkv", ".webm")
MIME = {".mp4": "video/mp4", ".mov": "video/quicktime"}
# The box type `uuid` with this identifier holds XMP (Adobe, XMP Specification Part 3).
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SOURCE, _SYSTEM, _VERSION = "DIGITAL_SOURCE_TYPE", "AI_SYSTEM_USED", "AI_SYSTEM_VERSION_USED"


def tags(mark: Mark) -> dict[str, str]:
    """Return the tags of a Matroska or WebM file."""
    return {_SOURCE: mark.source, _SYSTEM: mark.system, _VERSION: mark.version}


def mark_file(path: Path, suffix: str, mark: Mark) -> None:
    """Add the mark, and content credentials if the environment names a certificate, to a finished MP4 or MOV.

    Args:
        path: the file.
        suffix: one of `BOXED`.
        mark: what it says.

    Raises:
        UserError: the credentials cannot be made.
    """
    packet = mark.packet()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet)
    if is_wanted():
        signed = path.with_name(f"{path.name}.signed")
        try:
            with path.open("rb") as source, signed.open("w+b") as target:
                sign_stream(source, target, MIME[suffix], mark)
            signed.replace(path)
        finally:
            signed.unlink(missing_ok=True)


def read_mark(path: Path) -> Mark | None:
    """Read the mark of a video; None if it has none.

    Raises:
        ValueError: the file is damaged, or not a video of a known kind.
    """
    if path.suffix.lower() in BOXED:
        for kind, start, size in _boxes(path):
            if kind == b"uuid" and 16 < size <= LARGEST_PACKET + 16:
                with path.open("rb") as file:
                    file.seek(start)
                    content = file.read(size)
                if content[:16] == _XMP_BOX:
                    return read_packet(content[16:])
        return None
    import av

    try:
        # No other reader: a playlist by the name of a film would have others opened.
        with av.open(f"file:{path}", container_options={"format_whitelist": "matroska"}) as container:
            found = {name.upper(): value for name, value in container.metadata.items()}
    except av.FFmpegError as error:
        raise ValueError(f"not a readable video: {error.strerror}") from None
    known = {Mark("").source: False, Mark("", composite=True).source: True}
    if found.get(_SOURCE) not in known:
        return None
    return Mark(found.get(_VERSION, ""), known[found[_SOURCE]], found.get(_SYSTEM, ""))


def _boxes(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and size of the content of each box at the top level."""
    end = path.stat().st_size
    with path.open("rb") as file:
        place = 0
        while place + 8 <= end:
            file.seek(place)
            size, kind = struct.unpack(">I4s", file.read(8))
            head = 8
            if size == 1:
                size, head = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0], 16
            size = size or end - place
            if size < head or place + size > end:
                raise ValueError("not a whole MP4 or MOV file")
            yield kind, place + head, size - head
            place += size
