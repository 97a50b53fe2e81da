"""Skin tones are right for real faces, and colour differences are those of CIEDE2000."""

import numpy as np
import pytest
import torch

from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.scoring import colour


@pytest.fixture(scope="module")
def portraits(faces):
    return to_float(load_faces(faces / "trainA", 128).pictures)


def test_tones_of_skin(portraits):
    """Hopper and Collins have light or medium skin in this lighting; multiplied by a dark brown it is dark."""
    assert set(colour.skin_tones(portraits)) <= {"light", "medium"}
    brown = torch.tensor([0.42, 0.30, 0.22])[:, None, None]
    assert set(colour.skin_tones((portraits + 1) * brown - 1)) == {"dark"}


def test_a_difference_of_skin_is_measured_in_ciede2000(portraits):
    assert np.allclose(colour.skin_difference(portraits, portraits), 0)
    grey, lighter = (torch.full((1, 3, 128, 128), 2 * level / 255 - 1) for level in (128, 200))
    # L* is 53.59 and 80.60; CIEDE2000 weights lightness by 1 + 0.015 (l - 50)^2 / sqrt(20 + (l - 50)^2), l its mean.
    middle = ((53.585 + 80.604) / 2 - 50) ** 2
    expected = (80.604 - 53.585) / (1 + 0.015 * middle / np.sqrt(20 + middle))
    assert colour.skin_difference(grey, lighter) == pytest.approx(expected, rel=1e-3)
    assert (colour.typology_angles(lighter) > colour.typology_angles(grey)).all()


@pytest.mark.parametrize(
    ("difference", "rows"), [(colour.head_difference, slice(0, 30)), (colour.clothes_difference, slice(120, 128))]
)
def test_heads_and_clothes_are_compared_where_they_are(difference, rows):
    """Grey people on white; only the place in question changes its colour."""
    photos = torch.ones(2, 3, 128, 128)
    photos[:, :, 20:, 40:90] = 0.0
    assert np.allclose(difference(photos, photos), 0)
    other = photos.clone()
    other[1, 0, rows, 40:90] = 0.6
    zero, moved = difference(photos, other)
    assert zero == 0 and moved > 10
    elsewhere = photos.clone()
    elsewhere[1, 0, 60:100] = 0.6
    assert np.allclose(difference(photos, elsewhere), 0)
    assert np.allclose(difference(torch.ones(1, 3, 128, 128), -torch.ones(1, 3, 128, 128)), 0), "nobody is there"
