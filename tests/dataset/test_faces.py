"""Training reads the same images in the same order, whether it runs through or resumes."""

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon.dataset.faces import Sampler, faces_fingerprint, load_faces, load_pairs
from photo2cartoon.errors import UserError

CPU = torch.device("cpu")


def sampler(faces, letter="B", seed=0, domain=1):
    return Sampler.from_folder(faces / f"train{letter}", 128, seed, domain, CPU)


def test_batches_depend_on_seed_domain_and_number_alone(faces):
    a, b = sampler(faces), sampler(faces)
    later = b.batch(40, 3)
    assert torch.equal(torch.cat([a.batch(40, 1), a.batch(41, 2)]), later)
    assert not torch.equal(sampler(faces, seed=1).batch(40, 3), later)
    assert not torch.equal(sampler(faces, domain=0).batch(40, 3), later)
    assert later.shape == (3, 3, 128, 128) and later.min() >= -1 and later.max() <= 1


def test_every_picture_is_seen_once_a_pass(faces):
    items = sampler(faces)
    n = len(items.pictures)
    items.pictures[:] = torch.arange(n, dtype=torch.uint8)[:, None, None, None]  # each of a level of its own
    for start in (0, n, 7 * n):
        levels = ((items.batch(start, n) + 1) * 127.5).round().amax(dim=(1, 2, 3)).int().tolist()
        assert sorted(levels) == list(range(n))


def test_pictures_are_on_white_and_shrunk_by_averaging(faces):
    loaded = load_faces(faces / "trainB", 128)
    rgba = cv2.imread(str(faces / "trainB" / f"{loaded.stems[0]}.png"), cv2.IMREAD_UNCHANGED).astype(float)
    alpha = rgba[..., 3:] / 255
    white = (rgba[..., 2::-1] * alpha + 255 * (1 - alpha)).reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(loaded.pictures[0].permute(1, 2, 0).numpy() - white).max() <= 1


def test_an_empty_or_missing_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(UserError, match="p2c preprocess"):
        load_faces(tmp_path / "trainA", 128)
    (tmp_path / "trainA").mkdir()
    with pytest.raises(UserError, match=r"holds no pictures.*pictures\.csv"):
        load_faces(tmp_path / "trainA", 128)
    (tmp_path / "trainA/a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.png: unreadable"):
        load_faces(tmp_path / "trainA", 128)


def test_the_fingerprint_tells_datasets_apart(faces, tmp_path):
    import shutil

    shutil.copytree(faces, tmp_path / "copy")
    assert faces_fingerprint(tmp_path / "copy") == faces_fingerprint(faces)
    first = next((tmp_path / "copy/trainB").iterdir())
    first.rename(first.with_name("other.png"))
    assert faces_fingerprint(tmp_path / "copy") != faces_fingerprint(faces)


def test_a_drawing_keeps_to_its_photograph(drawn_faces):
    """A pair gets the same crop and flip: posterising a batch's photographs gives its drawings."""
    pairs, others = load_pairs(drawn_faces, "train", 256)
    assert pairs.stems == ("hopper--right", "hopper--straight") and len(others) == 2
    photos, drawings = Sampler(pairs, 224, 0, 0, CPU).batch(0, 6).split(3, dim=1)
    levels = ((photos + 1) * 127.5).round()
    assert torch.equal((levels // 64 * 85), ((drawings + 1) * 127.5).round())
    assert len({photo.sum().item() for photo in photos}) > 3


def test_a_darker_tone_leaves_white_and_goes_over_both(drawn_faces):
    pairs, _ = load_pairs(drawn_faces, "train", 128)
    plain = Sampler(pairs, 128, 0, 0, CPU).batch(0, 20)
    toned = Sampler(pairs, 128, 0, 0, CPU, tones=0.5).batch(0, 20)
    darker = [(after < before - 1e-3).any().item() for before, after in zip(plain, toned, strict=True)]
    assert 4 <= sum(darker) <= 16  # about half
    assert (toned <= plain + 1e-5).all() and toned.min() >= -1 - 1e-6
    white = (plain[:, :3] > 0.98).all(dim=1, keepdim=True).expand_as(plain)
    assert white.any() and torch.allclose(toned[white], plain[white], atol=1e-5)
    number = darker.index(True)
    for of in (slice(0, 3), slice(3, 6)):  # the photograph and the drawing
        assert toned[number, of].mean() < plain[number, of].mean() - 0.01
    again = Sampler(pairs, 128, 0, 0, CPU, tones=0.5)
    assert torch.equal(torch.cat([again.batch(7, 1), again.batch(8, 2)]), toned[7:10])
