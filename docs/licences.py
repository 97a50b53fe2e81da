"""Writes docs/reference/licences.md: the licence of everything that a photograph passes on its way to a cartoon.

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
    rows = [f"| {name} {version} | {licence} | {CONTENTS.get(name, '')} |" for name, version, licence in packages()]
    return f"""# Licences of the path from photograph to cartoon

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

## Packages

Those that the portrait, the drawing, videos and content credentials import, with what they require. Using them creates no
obligation; whoever passes the environment on, as a container image for example, passes on GPL code.

| package | licence | |
|---|---|---|
{chr(10).join(rows)}
"""


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
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        metadata = importlib.metadata.metadata(name)
        seen[name] = (name, metadata["Version"], _licence(metadata))
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.name in NOT_INSTALLED:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return sorted(seen.values())


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """Return a package's licence: its expression, else its short text, else its classifier."""
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if 0 < len(stated) < 60:
        return stated
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return classifiers[0].split(" :: ")[-1] if classifiers else "see its own files"


if __name__ == "__main__":
    main()
