"""The command that makes portraits of a user's own photographs and shows how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import MODELS, ParamsFile, WeightsFolder, app, load_params
from photo2cartoon.layout import WEIGHTS


@app.command(rich_help_panel=MODELS)
def portrait(
    source: Annotated[Path, typer.Argument(metavar="PICTURE_OR_DIR", help="Photograph, or folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the portraits: PNG with transparency.")],
    debug: Annotated[
        bool, typer.Option("--debug", help="Write the photograph with face, points, level, crop and mask instead.")
    ] = False,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Make portraits as preprocessing and serving make them, to look at.

    A photograph without a face is named with the reason, and the others go on.
    """
    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.cartoonize.stills import cartoonize
    from photo2cartoon.portrait import PortraitMaker, decode
    from photo2cartoon.portrait.debug import explain
    from photo2cartoon.portrait.maker import required_assets

    given = load_params(params)
    limits = given.portrait.max_pixels, given.portrait.max_bytes
    ensure(required_assets(given.portrait), weights, Path(own) if (own := given.assets.folder) else None)
    maker = PortraitMaker.from_params(weights, given.portrait)

    def make(path: Path):
        made = maker.of(path, *limits)
        return explain(decode(path, *limits), made) if debug else made.rgba

    out.mkdir(parents=True, exist_ok=True)
    failed = cartoonize(source, out, make, label="portraits")
    typer.echo(f"{out}: portraits" + (f"; {len(failed)} pictures without one" if failed else ""))
