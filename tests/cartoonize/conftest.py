"""What the tests of films share."""

import cv2
import numpy as np
import pytest

from photo2cartoon.portrait import PortraitMaker


@pytest.fixture(scope="module")
def maker(weights) -> PortraitMaker:
    """Makes portraits with the default models."""
    return PortraitMaker.from_weights(weights, check=False)


@pytest.fixture(scope="module")
def portrait(astronaut) -> np.ndarray:
    """Eileen Collins, uint8 RGB `[512, 512, 3]`."""
    return cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)
