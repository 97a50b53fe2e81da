"""Options of a cartoon: faces, size, background, colours, pasting."""

from __future__ import annotations

from dataclasses import dataclass

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import Photograph, Portrait, PortraitMaker
from photo2cartoon.portrait.background import COLOUR, WHITE, check_background
from photo2cartoon.portrait.maker import SIZE, SIZES

LARGEST, ALL = "largest", "all"


@dataclass(frozen=True)
class DrawOptions:
    """Choices about the cartoons of one photograph.

    Args:
        faces: `largest`, or `all`: up to `MOST_FACES` faces, the largest first.
        size: side of the cartoons in pixels, one of `SIZES`; None is 256, or with `paste` the size of each head.
        background: `white`, `transparent`, `photograph`, a name of CSS for a colour, or `#RRGGBB`.
        colour: strength of the photograph's colours, from 0, the style's own, to 1.
        paste: return the photograph with the heads replaced by their cartoons, instead of the cartoons alone.

    Raises:
        UserError: a choice is unknown, or two of them contradict each other.
    """

    faces: str = LARGEST
    size: int | None = None
    background: str = WHITE
    colour: float = COLOUR
    paste: bool = False

    def __post_init__(self) -> None:
        if self.faces not in (LARGEST, ALL):
            raise UserError(f"faces '{self.faces}': expected {LARGEST} or {ALL}")
        if self.size is not None and self.size not in SIZES:
            raise UserError(f"size {self.size}: expected {' or '.join(map(str, SIZES))}")
        if not 0 <= self.colour <= 1:
            raise UserError(f"colour {self.colour:g}: is not from 0 (the style's own) to 1 (the photograph's)")
        check_background(self.background)
        if self.paste and self.background != WHITE:
            raise UserError("a pasted cartoon keeps the photograph's background: leave out --paste or --background")

    @property
    def side(self) -> int | None:
        """Side for the portrait maker; None is the size of the head."""
        return self.size or (None if self.paste else SIZE)

    def portraits(self, maker: PortraitMaker, photo: Photograph) -> list[Portrait]:
        """Make the portraits to draw, the largest face first.

        Raises:
            PictureError: no portrait can be made.
        """
        return maker.all_of(photo, self.side) if self.faces == ALL else [maker.of(photo, self.side)]


DEFAULTS = DrawOptions()
