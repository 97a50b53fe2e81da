"""Draws damaged, odd and faceless pictures by server, page and command, and writes what came of it into docs/how-to/serving.md.

    python -m benchmarks.fuzz --weights weights --pictures DIR --mutations 10000 --write

The command gets the pictures as a folder, so the time of a single one is not known; files without the suffix of a picture
are not in it. DIR has pictures of any kind, for example `Tests/images` of Pillow's source distribution. Mutations are made
from two portraits in every format that the server takes: bytes are flipped, parts cut, repeated, exchanged, and numbers set
to extremes. The same seed makes the same ones.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.page import write_between
from benchmarks.serving import photographs
from benchmarks.watched import memory
from photo2cartoon import pretrained
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import MODEL_REPOSITORY
from photo2cartoon.portrait.decode import MAX_BYTES, SUFFIXES, register_heif
from photo2cartoon.ports import free_ports
from photo2cartoon.progress import bar
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.call import OK, code_of
from photo2cartoon.serving.plan import THROUGHPUT
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stamp import stamp

AT_ONCE = 4
SIDE = 288  # of the pictures that are mutated: small, and their faces are still drawn
PAGE = Path("docs/how-to/serving.md")


def main() -> None:
    """Draw everything, print the result, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--pictures", type=Path, help="folder of pictures, good or bad")
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE}")
    options = parser.parse_args()
    files = sorted(path for path in options.pictures.rglob("*") if path.is_file()) if options.pictures else []
    files = [path for path in files if 0 < path.stat().st_size <= MAX_BYTES]
    if options.pictures and not files:
        raise UserError(f"{options.pictures}: holds no files")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for way in options.ways:
            folder = Path(temporary) / way
            folder.mkdir()
            with WAYS[way](folder, options.weights.resolve()) as (draw, process):
                for name, pictures, count in (
                    ("files", ((path.suffix, path.read_bytes()) for path in files), len(files)),
                    ("mutations", mutations(options.mutations, options.seed), options.mutations),
                ):
                    if count:
                        before, began = memory(process) if process else None, time.monotonic()
                        codes, slowest = draw(pictures, count, f"{way}: {name}")
                        after = memory(process) if process else None
                        rows.append([way, name, codes, slowest, time.monotonic() - began, before, after])
    table = "\n".join([HEAD, *map(row, rows)])
    print(table)
    if options.write:
        write_between(PAGE, "benchmarks.fuzz", table)


HEAD = "| | | in all | answers | slowest | took | memory before, MB | after |\n|---|---|---|---|---|---|---|---|"


def row(values: list) -> str:
    """Return a row of the table."""
    way, name, codes, slowest, seconds, before, after = values
    said = ", ".join(f"{code} {number}" for code, number in codes.most_common())
    memories = " | ".join("" if number is None else f"{number:.0f}" for number in (before, after))
    latest = "" if slowest is None else f"{slowest:.2f} s"
    return f"| {way} | {name} | {sum(codes.values())} | {said} | {latest} | {seconds:.0f} s | {memories} |"


@contextmanager
def by_server(folder: Path, weights: Path) -> Iterator[tuple[Draw, int]]:
    """Start Triton with the bundled slim model."""
    repository = folder / "models"
    shutil.copytree(MODEL_REPOSITORY, repository, ignore=shutil.ignore_patterns("*.onnx"))
    (repository / "generator/1").mkdir(exist_ok=True)
    stamp(pretrained.graph("slim"), 1, repository / "generator/1/model.onnx")
    with Server(repository, folder / "run", Ports.free(), weights, None, profile=THROUGHPUT) as server:
        yield lambda pictures, count, name: asyncio.run(send(server.grpc, pictures, count, name)), server.process.pid


@contextmanager
def by_page(folder: Path, weights: Path) -> Iterator[tuple[Draw, int]]:
    """Start the page with the bundled slim model, and call it as its own script does."""
    from gradio_client import Client, handle_file

    command = [
        sys.executable,
        "-m",
        "photo2cartoon",
        "web",
        "--model",
        "slim",
        "--weights",
        str(weights),
        "--port",
        str(free_ports(1)[0]),
    ]
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True
    )
    address = re.search(r"http://\S+", process.stdout.readline())
    if address is None:
        process.kill()
        raise UserError("the page does not start")
    client = Client(address[0], verbose=False, download_files=False)
    known = {"No face": "no_face", "too small": "too_small", "too large": "too_large", "too long": "too_slow"}
    known |= {"cannot be read": "unreadable"}

    def one(content: tuple[str, bytes]) -> tuple[str, float]:
        suffix, picture = content
        path = folder / f"{threading.get_ident()}{suffix}"
        path.write_bytes(picture)
        asked = time.monotonic()
        try:
            client.predict(handle_file(str(path)), api_name="/cartoonize")
            code = OK
        except Exception as error:  # gradio's client has no class of its own for what a page says
            code = next(
                (code for words, code in known.items() if words in str(error)),
                f"{type(error).__name__}: {str(error)[:60]}",
            )
        return code, time.monotonic() - asked

    def draw(pictures: Iterable[tuple[str, bytes]], count: int, name: str) -> tuple[Counter[str], float]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(bar(pool.map(one, pictures), total=count, desc=name, unit="picture"))
        return Counter(code for code, _ in answers), max(seconds for _, seconds in answers)

    try:
        yield draw, process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def by_command(folder: Path, weights: Path) -> Iterator[tuple[Draw, None]]:
    """Let `p2c cartoonize` draw a folder of the pictures."""

    def draw(pictures: Iterable[tuple[str, bytes]], _: int, name: str) -> tuple[Counter[str], None]:
        given = folder / name.rpartition(" ")[2]
        given.mkdir()
        for number, (suffix, picture) in enumerate(pictures):
            (given / f"{number:05d}{suffix.lower()}").write_bytes(picture)
        listed = sum(path.suffix in SUFFIXES for path in given.iterdir())
        command = [sys.executable, "-m", "photo2cartoon", "cartoonize", str(given), "--model", "slim"]
        command += ["--weights", str(weights), "--out", str(given.with_suffix(".out"))]
        done = subprocess.run(command, capture_output=True, text=True)
        codes = Counter(re.findall(r"^\S+: (unreadable|no face|too small|too large): ", done.stderr, re.MULTILINE))
        codes = Counter({code.replace(" ", "_"): number for code, number in codes.items()})
        codes[OK] = len(list(given.with_suffix(".out").rglob("*.png")))
        if done.returncode or codes.total() != listed or "Traceback" in done.stderr:
            codes[f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1][:60]}"] = listed - codes.total()
        return codes, None

    yield draw, None


Draw = Callable[[Iterable[tuple[str, bytes]], int, str], tuple[Counter[str], float | None]]
WAYS = {"server": by_server, "page": by_page, "command": by_command}


async def send(server: str, pictures: Iterable[tuple[str, bytes]], count: int, name: str) -> tuple[Counter[str], float]:
    """Send pictures, `AT_ONCE` at a time, each in a call of its own.

    Returns:
        How many got each code, or the class of an error; the seconds of the slowest call.
    """
    codes: Counter[str] = Counter()
    slowest = 0.0
    waiting = iter(pictures)

    async def one(client: AsyncClient) -> None:
        nonlocal slowest
        for _, picture in waiting:
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
    return codes, slowest


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged variants of two portraits in all formats, with their suffixes."""
    register_heif()
    rng = np.random.default_rng(seed)
    sources = []
    for photo in photographs(None):
        with Image.open(io.BytesIO(photo)) as image:
            image.thumbnail((SIDE, SIDE))
            for form in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
                out = io.BytesIO()
                image.convert("RGB").save(out, form)
                sources.append((f".{form.lower()}", out.getvalue()))
    for _ in range(count):
        suffix, source = sources[rng.integers(len(sources))]
        content = bytearray(source)
        for _ in range(rng.integers(1, 4)):
            # Half of the damage is in the first hundred bytes, where formats keep their sizes.
            end = min(len(content), 100) if rng.random() < 0.5 else len(content)
            first, last = sorted(rng.integers(0, end, 2))
            kind = rng.integers(6)
            if kind == 0:
                content[first] ^= 1 << rng.integers(8)
            elif kind == 1:
                content[first : first + 4] = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")[rng.integers(3)]
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
        yield suffix, bytes(content)


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.fuzz"):
        main()
