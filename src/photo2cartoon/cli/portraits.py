"""The command that makes portraits of a user's own photographs and shows how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo2cartoon.cli.common import MODELS, Faces, ParamsFile, WeightsFolder, app, load_params
from photo2cartoon.errors import UserError
from photo2cartoon.layout import WEIGHTS
from photo2cartoon.progress import note

if TYPE_CHECKING:
    import numpy as np

    from photo2cartoon.portrait import Photograph


@app.command(rich_help_panel=MODELS)
def portrait(
    source: Annotated[Path, typer.Argument(metavar="PICTURE_OR_DIR", help="Photograph, or folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the portraits: PNG with transparency.")],
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Write the photograph with face, points, level, crop and mask instead; without a face, with the reason.",
        ),
    ] = False,
    faces: Faces = "largest",
    size: Annotated[
        int | None, typer.Option(show_default="256", help="Side of each portrait, 256 or 512 pixels.")
    ] = None,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Make portraits as preprocessing and serving make them, to look at.

    A photograph without a face is named with the reason; the others are made. With `--debug` it is written, too, with the
    faces that are too small.
    """
    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.atomic import make_folder
    from photo2cartoon.cartoonize.stills import cartoonize, must_exist
    from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker
    from photo2cartoon.portrait.debug import explain, explain_refusal
    from photo2cartoon.portrait.maker import required_assets
    from photo2cartoon.portrait.options import ALL, DrawOptions
    from photo2cartoon.portrait.sandbox import Sandbox
    from photo2cartoon.provenance.encode import encode

    must_exist(source)
    if out.is_file():
        raise UserError(f"{out}: is a file; portraits go to a folder")
    given = load_params(params)
    decoder = Sandbox.within(given.portrait)
    limits = given.portrait.max_pixels, given.portrait.max_bytes, decoder
    decoder.start(given.portrait.max_pixels)
    ensure(required_assets(given.portrait), weights, Path(own) if (own := given.assets.folder) else None)
    maker = PortraitMaker.from_params(weights, given.portrait)

    options = DrawOptions(faces, size)

    def explained(path: Path, photo: Photograph) -> np.ndarray:
        try:
            return explain(photo.rgb, options.portraits(maker, photo))
        except PictureError as error:
            shown = explain_refusal(photo.rgb, maker.points_of(photo), str(error))  # or again, if it cannot be decoded
            note(f"{path}: {error}")
            return shown

    def make(path: Path, form: str) -> list[bytes]:
        photo = Photograph(path, *limits)
        pictures = [explained(path, photo)] if debug else [each.rgba for each in options.portraits(maker, photo)]
        return [encode(picture, form, mark=None) for picture in pictures]

    make_folder(out)
    report = cartoonize(source, out, make, "portraits", numbered=faces == ALL and not debug)
    count, failed = len(report.written), len(report.failed)
    without = f"; {failed} {'picture' if failed == 1 else 'pictures'} could not be made" if failed else ""
    typer.echo(f"{out}: {count} {'picture' if count == 1 else 'pictures'}{without}")
