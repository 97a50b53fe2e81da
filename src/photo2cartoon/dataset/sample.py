"""The built-in sample: photographs from registry packages, and generated cartoon heads."""

from __future__ import annotations

import io
import random
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image

from photo2cartoon.assets.catalogue import Asset, read_catalogue

PHOTOGRAPHS = Path(__file__).with_name("sample.yaml")
# python_avatars renders on 264x280. At this width, the crop that frames the face as `portrait` frames photographs
# starts at (left, top) and has the size of a portrait.
WIDTH, LEFT, TOP, SIDE = 317, 30, 28, 256

# Portraits face the viewer and look calm, so tears, crosses for eyes, screams, hats and costumes are excluded.
EYES = ("DEFAULT", "DEFAULT", "DEFAULT", "HAPPY", "SQUINT", "SIDE")
EYEBROWS = ("DEFAULT", "DEFAULT_NATURAL", "FLAT_NATURAL", "RAISED_EXCITED", "RAISED_EXCITED_NATURAL", "UP_DOWN_NATURAL")
MOUTHS = ("DEFAULT", "SMILE", "SMILE", "SERIOUS", "TWINKLE", "BIG_SMILE")
NO_HAIR = ("ASTRONAUT", "BRIDE", "HAT", "EVIL_SPIKE", "EINSTEIN_HAIR", "MOHAWK")
BEARDS = ("NONE",) * 6 + ("BEARD_LIGHT", "BEARD_MEDIUM", "MOUSTACHE_FANCY", "BEARD_MAGESTIC")
GLASSES = ("NONE",) * 6 + ("PRESCRIPTION_1", "PRESCRIPTION_2", "ROUND")
CLOTHES = ("BLAZER_SHIRT", "BLAZER_SWEATER", "COLLAR_SWEATER", "HOODIE", "SHIRT_CREW_NECK", "SHIRT_V_NECK")


def photographs() -> list[Asset]:
    """Return the photographs of the sample, as files of registry packages with their licences."""
    return list(read_catalogue(PHOTOGRAPHS).values())


def draw_head(number: int) -> np.ndarray:
    """Render cartoon head `number`, the same on every call: uint8 RGBA `[256, 256, 4]`."""
    import python_avatars as avatars
    import resvg_py

    choose = random.Random(number)

    def one_of(kind: type[Enum], names: tuple[str, ...] | None = None, but: tuple[str, ...] = ()) -> Enum:
        return kind[choose.choice(names or [item.name for item in kind if item.name not in but])]

    skin = one_of(avatars.SkinColor, but=("YELLOW",))
    hair = one_of(avatars.HairColor, but=("PASTEL_PINK",))
    head = avatars.Avatar(
        style=avatars.AvatarStyle.TRANSPARENT,
        top=one_of(avatars.HairType, but=NO_HAIR),
        hair_color=hair,
        facial_hair=one_of(avatars.FacialHairType, BEARDS),
        facial_hair_color=hair,
        eyes=one_of(avatars.EyeType, EYES),
        eyebrows=one_of(avatars.EyebrowType, EYEBROWS),
        nose=one_of(avatars.NoseType),
        mouth=one_of(avatars.MouthType, MOUTHS),
        accessory=one_of(avatars.AccessoryType, GLASSES),
        clothing=one_of(avatars.ClothingType, CLOTHES),
        clothing_color=one_of(avatars.ClothingColor),
        skin_color=skin,
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=head.render(), width=WIDTH, skip_system_fonts=True))
    drawing = Image.open(io.BytesIO(png)).convert("RGBA")
    return np.asarray(drawing.crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE)))
