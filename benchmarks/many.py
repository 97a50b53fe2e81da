"""Makes portraits of 2,000 and of 20,000 photographs, adds ten and runs again: time in proportion, flat memory.

    python -m benchmarks.many --write                        (20 minutes on 2 cores)

The photographs are two, 512 px wide, with other bytes at the end of each file, so that every hash is another. The table has the
time, the time for each picture, and the peak of the private memory of `p2c preprocess` and its processes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.page import write_between
from benchmarks.serving import machine, photographs
from benchmarks.watched import Done, p2c, run
from photo2cartoon.errors import UserError, exit_on_user_error

PAGE = Path("docs/explanation/reliability.md")
NEW, WIDTH = 10, 512


def main() -> None:
    """Run both sizes, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    options = parser.parse_args()
    lines = ["| photographs | took | for each | peak memory, MB | again, with 10 new |", "|---|---|---|---|---|"]
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            first, again = portraits(Path(folder), options.weights.resolve(), count)
        each = f"{first.seconds / count * 1000:.1f} ms"
        lines.append(f"| {count} | {first.seconds:.0f} s | {each} | {first.peak:.0f} | {again.seconds:.0f} s |")
        print("\n".join(lines), flush=True)
    if options.write:
        write_between(PAGE, "benchmarks.many", f"{machine()}:\n\n" + "\n".join(lines))


def portraits(folder: Path, weights: Path, count: int) -> tuple[Done, Done]:
    """Make portraits of many photographs, then of ten more.

    Raises:
        UserError: a run failed, or a picture has no row.
    """
    (folder / "photos").mkdir()
    (folder / "cartoons").mkdir()
    sources = [_small(photo) for photo in photographs(None)]
    _add(folder / "photos", sources, range(count))
    (folder / "cartoons/one.jpg").write_bytes(sources[0])
    words = p2c("preprocess", "--photos", "photos", "--cartoons", "cartoons", "--weights", weights, "--out", "faces")
    first = _checked(folder, words, count)
    _add(folder / "photos", sources, range(count, count + NEW))
    return first, _checked(folder, words, count + NEW)


def _checked(folder: Path, words: list[str], count: int) -> Done:
    done = run(words, folder)
    rows = len((folder / "faces/pictures.csv").read_text().splitlines()) - 2 if not done.code else 0  # head, cartoon
    if rows != count:
        raise UserError(f"preprocess: {rows} rows for {count} photographs: {done.errors[-500:]}")
    return done


def _add(folder: Path, sources: list[bytes], numbers: range) -> None:
    for number in numbers:
        path = folder / f"person-{number:06d}.jpg"
        path.write_bytes(sources[number % len(sources)] + number.to_bytes(4, "big"))


def _small(photo: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
    return cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))[1].tobytes()


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.many"):
        main()
