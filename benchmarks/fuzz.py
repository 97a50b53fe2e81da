"""Sends damaged, odd and faceless pictures to a server, and writes what came of them into docs/serving.md.

    python -m benchmarks.fuzz --weights weights --pictures DIR --mutations 10000 --write

DIR has pictures of any kind, for example `Tests/images` of Pillow's source distribution. Mutations are made from two portraits
in every format that the server takes: bytes are flipped, parts cut, repeated, exchanged, and numbers set to extremes. The
same seed makes the same ones.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.serving import _photographs as photographs
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.export.pretrained import pretrained_graph
from photo2cartoon.layout import MODEL_REPOSITORY
from photo2cartoon.portrait.decode import MAX_BYTES, register_heif
from photo2cartoon.progress import bar
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.call import OK, code_of
from photo2cartoon.serving.plan import THROUGHPUT
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stamp import stamp

AT_ONCE = 4
SIDE = 288  # of the pictures that are mutated: small, and their faces are still drawn
PAGE = Path("docs/serving.md")
BEGIN, END = "<!-- benchmarks.fuzz -->", "<!-- /benchmarks.fuzz -->"


def main() -> None:
    """Send everything, print the result, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--pictures", type=Path, help="folder of pictures, good or bad")
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE}")
    options = parser.parse_args()
    files = sorted(path for path in options.pictures.rglob("*") if path.is_file()) if options.pictures else []
    files = [path for path in files if 0 < path.stat().st_size <= MAX_BYTES]
    if options.pictures and not files:
        raise UserError(f"{options.pictures}: holds no files")
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        shutil.copytree(MODEL_REPOSITORY, repository, ignore=shutil.ignore_patterns("*.onnx"))
        (repository / "generator/1").mkdir(exist_ok=True)
        stamp(pretrained_graph("slim"), 1, repository / "generator/1/model.onnx")
        server = Server(repository, Path(folder) / "run", Ports.free(), options.weights, None, profile=THROUGHPUT)
        with server:
            lines = []
            for name, pictures, count in (
                ("files", (path.read_bytes() for path in files), len(files)),
                ("mutations", mutations(options.mutations, options.seed), options.mutations),
            ):
                before = memory(server.process.pid)
                codes, slowest, seconds = asyncio.run(send(server.grpc, pictures, count, name))
                after = memory(server.process.pid)
                said = ", ".join(f"{code} {number}" for code, number in codes.most_common())
                lines.append(
                    f"| {name} | {count} | {said} | {slowest:.2f} s | {seconds:.0f} s | {before:.0f} | {after:.0f} |"
                )
    head = "| | sent | answers | slowest | in all | memory before, MB | after |\n|---|---|---|---|---|---|---|"
    table = "\n".join([head, *lines])
    print(table)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


async def send(server: str, pictures: Iterable[bytes], count: int, name: str) -> tuple[Counter[str], float, float]:
    """Send pictures, `AT_ONCE` at a time, each in a call of its own.

    Returns:
        How many got each code, or the class of an error; the seconds of the slowest call, and of all.
    """
    codes: Counter[str] = Counter()
    slowest, began = 0.0, time.monotonic()
    waiting = iter(pictures)

    async def one(client: AsyncClient) -> None:
        nonlocal slowest
        for picture in waiting:
            asked = time.monotonic()
            try:
                (answer,) = await client.cartoonize_all([picture])
                codes[code_of(answer.error) if answer.error else OK] += 1
            except UserError as error:
                codes[type(error).__name__] += 1
            slowest = max(slowest, time.monotonic() - asked)
            progress.update()

    with bar(total=count, desc=name, unit="picture") as progress:
        async with AsyncClient(server) as client:
            await asyncio.gather(*(one(client) for _ in range(AT_ONCE)))
    return codes, slowest, time.monotonic() - began


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Yield damaged variants of two portraits in all formats."""
    register_heif()
    rng = np.random.default_rng(seed)
    sources = []
    for photo in photographs(None):
        with Image.open(io.BytesIO(photo)) as image:
            image.thumbnail((SIDE, SIDE))
            for form in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
                out = io.BytesIO()
                image.convert("RGB").save(out, form)
                sources.append(out.getvalue())
    for _ in range(count):
        content = bytearray(sources[rng.integers(len(sources))])
        for _ in range(rng.integers(1, 4)):
            # Half of the damage is in the first hundred bytes, where formats keep their sizes.
            end = min(len(content), 100) if rng.random() < 0.5 else len(content)
            first, last = sorted(rng.integers(0, end, 2))
            kind = rng.integers(6)
            if kind == 0:
                content[first] ^= 1 << rng.integers(8)
            elif kind == 1:
                content[first : first + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
            elif kind == 2:
                del content[last:]
            elif kind == 3:
                del content[first : first + (last - first) % 64]
            elif kind == 4:
                content[first:first] = content[first : first + 64]
            else:
                content[first : first + 8] = rng.bytes(8)
            if not content:
                content = bytearray(b"\0")
        yield bytes(content)


def memory(server: int) -> float:
    """Return the private memory of a server and all its processes in MB."""
    parents = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parents[int(place.name)] = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
    own = {server}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    total = 0
    for process in own:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
    return total / 1024


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.fuzz"):
        main()
