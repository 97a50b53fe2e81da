"""Measures how well models stylize: several models side by side, on photographs that none has seen.

Cartoons are compared with the teacher's drawings where there are any, with the style, and with the person. Each group
of photographs is reported separately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.assets.catalogue import find_asset, find_optional_asset
from photo2cartoon.dataset.faces import Faces, load_faces, load_pairs, to_float, to_uint8
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_dir, write_json
from photo2cartoon.layout import DRAWN, MEASURES, MEASURES_TABLE
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring import pairs
from photo2cartoon.scoring.distances import kernel_distance
from photo2cartoon.scoring.features import efficientnet_features

PHOTOGRAPHS, STRANGERS = "photographs", "photographs of somebody else"
SIDE, BATCH, SHOWN = 256, 8, 32
SMALLEST_SET = 2  # images that a kernel distance needs in each set
Stylize = Callable[[np.ndarray], np.ndarray]  # portraits uint8 [N, 256, 256, 4] to cartoons uint8 [N, 256, 256, 3]
# Description of each measure, for the tables; it says where higher is better.
COLUMNS = {
    "l1": "L1 to the teacher's drawing, -1..1",
    "ssim": "SSIM to it; higher is better",
    "perceptual": "distance of EfficientNet-Lite0's features to it",
    "dlib": "cosine of dlib's face features to the photograph; higher is better",
    "mobilefacenet": "the same by MobileFaceNet",
    "kernel_cartoons": "kernel distance (EfficientNet-Lite0) to the cartoons of the style",
    "kernel_drawings": "the same to the teacher's drawings",
}
Cell = tuple[float, float]  # a mean or distance, and half the width of its 95 % interval


def measure(models: Mapping[str, Stylize], data: Path, weights: Path, out: Path, photographs: bool = False) -> dict:
    """Measure models on the held-out photographs of a dataset, and write contact sheets of their cartoons.

    Args:
        models: by name. Two baselines are measured as well: the photographs themselves (a model that does nothing) and
            photographs of somebody else (a model that makes a cartoon of another person).
        data: a dataset; where some of its held-out photographs have drawings, cartoons are compared with these too.
        weights: folder that the `assets` stage filled; MobileFaceNet is used if its weights are there.
        out: receives `measures.json`, `measures.md` and contact sheets.
        photographs: show the photographs and the teacher's drawings beside the cartoons on the contact sheets.

    Returns:
        The measures in `measures.json`: model, group, measure, and a number with half the width of its 95 % interval.

    Raises:
        UserError: there are too few photographs, or weights are missing.
    """
    paired, others = _load_pairs(data, "test")
    targets = to_float(paired.pictures[:, 3:])
    photos = torch.cat([paired.pictures[:, :3], others.pictures])
    groups = _groups([*paired.stems, *others.stems], len(paired), to_float(photos))
    if not groups:
        raise UserError(f"{data}: testA holds {len(photos)} photographs, three or more are needed to measure")
    features = efficientnet_features(weights)
    # Only drawings of the train split: the reference excludes those of the measured photographs.
    sets = {"kernel_cartoons": _cartoons(data), "kernel_drawings": _load_pairs(data, "train")[0].pictures[:, 3:]}
    reference = {
        name: _batched(features, to_float(pictures)) for name, pictures in sets.items() if len(pictures) >= SMALLEST_SET
    }
    network = Perceptual(find_asset("efficientnet_lite0", weights), "efficientnet-lite0")
    faces = {"dlib": load_face_network("dlib", weights)}
    if find_optional_asset("mobilefacenet_128", weights):
        faces["mobilefacenet"] = load_face_network("mobilefacenet-128", weights)
    known = {name: _batched(face.features, to_float(photos)) for name, face in faces.items()}

    result: dict[str, dict[str, dict[str, Cell]]] = {}
    cartoons = {PHOTOGRAPHS: photos, STRANGERS: photos.roll(1, dims=0)}
    for name, stylize in bar(models.items(), desc="stylize", unit="model"):
        cartoons[name] = _stylized(stylize, photos)
    for name, pictures in bar(cartoons.items(), desc="measure", unit="model"):
        images = to_float(pictures)
        singly = {}
        if len(paired):
            mine = images[: len(paired)]
            singly["l1"], singly["ssim"] = pairs.l1(mine, targets), pairs.ssim(mine, targets)
            singly["perceptual"] = pairs.perceptual(mine, targets, network)
        for face_name, face in faces.items():
            singly[face_name] = (known[face_name] * _batched(face.features, images)).sum(dim=1).numpy()
        seen = _batched(features, images)
        result[name] = {
            group: _cells(singly, seen, reference, np.asarray(members)) for group, members in groups.items()
        }
    sizes = {name: len(members) for name, members in groups.items()}
    with atomic_dir(out, MEASURES) as partial:
        write_json(partial / MEASURES, {"groups": sizes, "models": result})
        (partial / MEASURES_TABLE).write_text(table(result, sizes), encoding="utf-8")
        _write_sheets(partial, cartoons, targets, len(paired), photographs)
    return result


def table(result: Mapping[str, Mapping[str, Mapping[str, Cell]]], sizes: Mapping[str, int]) -> str:
    """Format the measures as Markdown, one table per group; a measure that was not computed has no column."""
    measured = {name for by_group in result.values() for cells in by_group.values() for name in cells}
    text = ["\n".join(f"- `{name}`: {what}" for name, what in COLUMNS.items() if name in measured)]
    for group, size in sizes.items():
        columns = [name for name in COLUMNS if name in next(iter(result.values()))[group]]
        lines = [f"| {group} ({size}) | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for model, by_group in result.items():
            cells = (f"{by_group[group][name][0]:.3f} ± {by_group[group][name][1]:.3f}" for name in columns)
            lines.append(f"| {model} | {' | '.join(cells)} |")
        text.append("\n".join(lines))
    return "\n\n".join(text) + "\n"


def _groups(stems: list[str], paired: int, photos: Tensor) -> dict[str, list[int]]:
    """Return the indices of each group: with a drawing; without; without, by sex (from the name) and by skin tone."""
    others = range(paired, len(stems))
    groups = {"with drawing": list(range(paired)), "without drawing": list(others)}
    for sex in ("female", "male"):
        groups[f"without drawing, {sex}"] = [place for place in others if stems[place].split("_")[0] == sex]
    tones = pairs.skin_tones(photos[paired:]) if paired < len(stems) else []
    for tone in pairs.TONES:
        groups[f"without drawing, {tone} skin"] = [
            place for place, its in zip(others, tones, strict=True) if its == tone
        ]
    return {name: members for name, members in groups.items() if len(members) > 2}


def _cells(
    singly: Mapping[str, np.ndarray], seen: Tensor, reference: Mapping[str, Tensor], members: np.ndarray
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for name, values in singly.items():
        if members.max() < len(values):
            chosen = values[members]
            cells[name] = float(chosen.mean()), float(1.96 * chosen.std(ddof=1) / np.sqrt(len(chosen)))
    for name, features in reference.items():
        distance, interval = kernel_distance(seen[members].numpy(), features.numpy())
        cells[name] = distance, interval
    return cells


def _load_pairs(data: Path, split: str) -> tuple[Faces, Faces]:
    """Load pairs, and photographs without a drawing, like `load_pairs`, but accept a split that has no drawings."""
    folder = data / f"{split}A"
    if any((data / DRAWN / path.name).is_file() for path in folder.glob("*.png")):
        return load_pairs(data, split, SIDE)
    none = torch.empty(0, 6, SIDE, SIDE, dtype=torch.uint8)
    if split == "train" and not any(folder.glob("*.png")):
        return Faces((), none), Faces((), none[:, :3])
    return Faces((), none), load_faces(folder, SIDE)


def _cartoons(data: Path) -> Tensor:
    """Load the cartoons of both splits, uint8 `[N, 3, S, S]`; N may be 0."""
    folders = [folder for folder in (data / "trainB", data / "testB") if any(folder.glob("*.png"))]
    return torch.cat(
        [torch.empty(0, 3, SIDE, SIDE, dtype=torch.uint8), *(load_faces(f, SIDE).pictures for f in folders)]
    )


def _batched(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([function(part) for part in pictures.split(BATCH)])


def _stylized(stylize: Stylize, photos: Tensor) -> Tensor:
    """Stylize photographs, uint8 `[N, 3, S, S]` to the same; models receive RGBA with alpha 255 everywhere."""
    rgb = photos.permute(0, 2, 3, 1).numpy()
    portraits = np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 255, np.uint8)], axis=3)
    parts = [stylize(portraits[first : first + BATCH]) for first in range(0, len(portraits), BATCH)]
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2)


def _write_sheets(
    folder: Path, cartoons: Mapping[str, Tensor], targets: Tensor, paired: int, photographs: bool
) -> None:
    """Write contact sheets, eight images in a row: the first by name with a drawing, and the first without one."""
    for kind, places in (("with-drawing", slice(0, paired)), ("without-drawing", slice(paired, None))):
        for name, pictures in cartoons.items():
            if name in (PHOTOGRAPHS, STRANGERS):
                continue
            shown = list(to_uint8(to_float(pictures[places][:SHOWN])))
            beside = {}
            if photographs:
                beside = {PHOTOGRAPHS: list(to_uint8(to_float(cartoons[PHOTOGRAPHS][places][:SHOWN])))}
                if kind == "with-drawing":
                    beside["teacher"] = list(to_uint8(targets[:SHOWN]))
            rows = []
            for first in range(0, len(shown), 8):
                rows += [(label, those[first : first + 8]) for label, those in (beside | {name: shown}).items()]
            if rows:
                (folder / f"{name}-{kind}.png").write_bytes(encode_png(grid(rows, side=160)))
