"""Pseudo-labels for the paired recipe: a trained generator draws the photographs that nobody has drawn.

A generator draws best what it was trained on. Each photograph is therefore brought closer to the photographs that have
drawings before it is drawn: its skin gets their usual colour, and shading and wrinkles are smoothed, but not eyes, brows,
nose and mouth. The drawing's lines are sharpened, and people whose skin is not light get their own colours back: the style
knows light skin alone, and would whiten theirs. A generator that learns to draw the unchanged photograph like that needs
none of these steps. This is self-training as in Noisy Student (Xie et al., 2020), the other way round: there the student's
input is made harder, here the teacher's is made easier.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.checkpoint import load_generator
from photo2cartoon.dataset.faces import list_pictures, read_rgba
from photo2cartoon.errors import UserError
from photo2cartoon.files import link_folder
from photo2cartoon.layout import DRAWN, OVERVIEW, PSEUDO_DRAWN, TABLE
from photo2cartoon.networks.colour import bring_back
from photo2cartoon.networks.crop import crop_face
from photo2cartoon.networks.generator import Generator
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.portrait import PortraitMaker
from photo2cartoon.progress import bar
from photo2cartoon.scoring.colour import TONES, typology_angles

# Strength of the photograph's colours in drawings of dark skin; 0 in drawings of light skin, and between for the others.
STRENGTH = 0.9
SHARPENED, BLURRED = 0.8, 2  # unsharp masking of the drawing: its strength, and the deviation of its blur in pixels
# Repetitions of the bilateral filter, its deviation in values of 0..1, and in pixels of a portrait of 256 px.
SMOOTHED, VALUES, PIXELS = 4, 0.06, 4
# Eyes, brows, nose and mouth among the 68 points; how far around them nothing is smoothed, and the soft edge, in pixels
# of a portrait of 256 px.
FEATURES = slice(17, 22), slice(22, 27), slice(31, 36), slice(36, 42), slice(42, 48), slice(48, 60)
AROUND, SOFT = 6, 3
USUAL, SHOWN = 100, 48  # photographs with drawings whose skin is looked at; people in the overview


def pseudo_label(model: Path, data: Path, weights: Path, out: Path) -> tuple[int, int]:
    """Draw the training photographs without a drawing, as targets for the paired recipe.

    Args:
        model: a checkpoint, or the name of a model that comes with the project.
        data: a dataset in which some photographs have drawings.
        weights: folder that the `assets` stage filled.
        out: receives the dataset (as hard links), `pseudoA/` with the drawings, and `overview.png`.

    Returns:
        How many photographs were drawn, and how many were not because no face was found in them.

    Raises:
        UserError: the model or the dataset is missing, or no photograph has a drawing, or all of them have.
    """
    listed = list_pictures(data / "trainA")
    drawn = [path for path in listed if (data / DRAWN / path.name).is_file()]
    others = [path for path in listed if not (data / DRAWN / path.name).is_file()]
    if not drawn or not others:
        missing = "has a drawing" if not drawn else "is without a drawing"
        raise UserError(f"{data}: no photograph in trainA {missing}; pseudo-labels are for datasets that have both")
    generator = load_generator(model)
    maker = PortraitMaker.from_weights(weights)
    usual = torch.stack([_skin(_on_white(read_rgba(path))[0]) for path in drawn[:: max(1, len(drawn) // USUAL)]])
    usual = usual.median(dim=0).values
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0
    with atomic_dir(out, TABLE) as partial:
        link_folder(data, partial)
        # Files of an earlier pseudo-label are links: writing into them would change the given dataset.
        shutil.rmtree(partial / PSEUDO_DRAWN, ignore_errors=True)
        (partial / OVERVIEW).unlink(missing_ok=True)
        (partial / PSEUDO_DRAWN).mkdir()
        for path in bar(others, desc="pseudo-label", unit="picture"):
            rgba = read_rgba(path)
            faces = maker.finder(np.rint(_on_white(rgba)[0][0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
            if not faces:
                continue
            picture = draw_easier(generator, rgba, faces[0].points, usual)
            (partial / PSEUDO_DRAWN / path.name).write_bytes(encode_png(picture))
            count += 1
            if len(shown) < SHOWN:
                shown.append((rgba[..., :3], picture))
        if not count:
            raise UserError(f"{data}: no face was found in the {len(others)} photographs without a drawing")
        rows = []
        for first in range(0, len(shown), 8):
            pairs = shown[first : first + 8]
            rows += [("photograph", [each[0] for each in pairs]), ("pseudo-label", [each[1] for each in pairs])]
        (partial / OVERVIEW).write_bytes(encode_png(grid(rows)))
    return count, len(others) - count


@torch.no_grad()
def draw_easier(generator: Generator, rgba: np.ndarray, points: np.ndarray, usual: Tensor) -> np.ndarray:
    """Draw a portrait after making it easier to draw.

    Args:
        generator: of cartoons.
        rgba: uint8 `[S, S, 4]`.
        points: the 68 landmarks in it, `[68, 2]`.
        usual: the colour of skin that the generator draws best, RGB in 0..1, `[3]`.

    Returns:
        uint8 `[S, S, 3]` on white.
    """
    photo, alpha = _on_white(rgba)
    values = easier(photo, points, usual)
    given = F.interpolate(
        torch.from_numpy(values).permute(2, 0, 1)[None] * 2 - 1, size=(generator.size,) * 2, mode="area"
    )
    image = F.interpolate(generator(given).image.clamp(-1, 1) / 2 + 0.5, size=photo.shape[2:], mode="bilinear")
    drawing = bring_back(photo, alpha, image * alpha + 1 - alpha, _strength(photo))[0].permute(1, 2, 0).numpy()
    lines = drawing - cv2.GaussianBlur(drawing, (0, 0), BLURRED * len(rgba) / 256)
    return np.rint((drawing + SHARPENED * lines).clip(0, 1) * 255).astype(np.uint8)


def easier(photo: Tensor, points: np.ndarray, usual: Tensor) -> np.ndarray:
    """Give the skin its usual colour, and smooth all but eyes, brows, nose and mouth.

    Args:
        photo: `[1, 3, S, S]` in 0..1, on white.
        points: the 68 landmarks in it, `[68, 2]`.
        usual: RGB in 0..1, `[3]`.

    Returns:
        float32 `[S, S, 3]` in 0..1.
    """
    # A power for each channel leaves black and white as they are.
    values = (photo ** (usual.log() / _skin(photo).log())[None, :, None, None])[0].permute(1, 2, 0).numpy()
    kept = _features(points, len(values))
    return kept * values + (1 - kept) * _smooth(values)


def _strength(photo: Tensor) -> Tensor:
    """Return the strength of a photograph's colours `[1, 1, 1, 1]`, by its skin's typology angle."""
    (angle,), light, dark = typology_angles(photo * 2 - 1), TONES["light"][0], TONES["dark"][1]
    return torch.full((1, 1, 1, 1), STRENGTH * float(np.clip((light - angle) / (light - dark), 0, 1)))


def _on_white(rgba: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return RGB on white `[1, 3, S, S]` and alpha `[1, 1, S, S]`, both in 0..1."""
    values = torch.from_numpy(rgba.astype(np.float32) / 255).permute(2, 0, 1)[None]
    rgb, alpha = values.split([3, 1], dim=1)
    return rgb * alpha + 1 - alpha, alpha


def _skin(photo: Tensor) -> Tensor:
    """Return the median colour of the middle of a face, `[3]`, of a portrait `[1, 3, S, S]`; neither black nor white."""
    face = crop_face(photo)
    quarter = face.shape[-1] // 4
    return face[0, :, quarter:-quarter, quarter:-quarter].flatten(1).median(dim=1).values.clamp(0.05, 0.95)


def _smooth(values: np.ndarray) -> np.ndarray:
    for _ in range(SMOOTHED):
        values = cv2.bilateralFilter(values, 0, VALUES, PIXELS * len(values) / 256)
    return values


def _features(points: np.ndarray, side: int) -> np.ndarray:
    """Return where eyes, brows, nose and mouth are: float32 `[S, S, 1]`, 1 there and 0 elsewhere, with a soft edge."""
    mask: np.ndarray = np.zeros((side, side), np.uint8)
    scale = side / 256
    for part in FEATURES:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points[part]).astype(np.int32)), 1)
    size = 2 * round(AROUND * scale) + 1
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SOFT * scale)[..., None]
