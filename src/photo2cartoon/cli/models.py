"""Commands that use checkpoints: import weights, pseudo-label, translate a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import MODELS, Data, WeightsFolder, app
from photo2cartoon.errors import UserError
from photo2cartoon.layout import DATA, OVERVIEW, WEIGHTS


@app.command("import-weights", rich_help_panel=MODELS)
def import_weights(
    file: Annotated[Path, typer.Argument(help="photo2cartoon's .pt or .onnx file, or the Paddle port's .pdparams.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to create.")],
    size: Annotated[
        int | None, typer.Option(show_default="256", help="Image size that a light generator was trained at.")
    ] = None,
) -> None:
    """Convert photo2cartoon's trained weights to a checkpoint for cartoonize, export and train.

    No pickled code runs. The variant and its sizes follow from the shapes; missing, surplus and mismatched tensors are named.
    """
    from photo2cartoon.importing.cartoon_weights import import_weights as importer

    found = importer(file, out, size)
    kind = "light" if found.train.light else "full"
    absent = f"\nNot in it: {', '.join(found.absent)}; randomly initialised in training"
    typer.echo(
        f"{out}: {', '.join(found.networks)} from a {found.kind} file; {kind}, {found.train.channels} channels, "
        f"{found.train.size} px{absent if found.absent else ''}\nTry: p2c cartoonize PHOTO --checkpoint {out} --out cartoon.png"
    )


@app.command("pseudo-label", rich_help_panel=MODELS)
def pseudo_label(
    out: Annotated[Path, typer.Option(help="Folder for the dataset with the drawings, and overview.png.")],
    model: Annotated[Path, typer.Option(help="Checkpoint folder, or a bundled model by name.")] = Path("full"),
    data: Data = DATA,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Draw the training photographs that have no drawing, as targets for `p2c train` with train.paired.pseudo.

    Each is first made easier to draw: its skin gets the usual colour, and it is smoothed. People whose skin is
    not light then get their own colours back.
    """
    from photo2cartoon.training.pseudo_label import pseudo_label as stage

    drawn, without_face = stage(model, data, weights, out)
    skipped = f"; {without_face} without a face left out" if without_face else ""
    typer.echo(f"{out}: {drawn} photographs drawn{skipped}; look at {out / OVERVIEW}")


@app.command("test", hidden=True)
@app.command(rich_help_panel=MODELS)
def translate(
    context: typer.Context,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder with both generators.")],
    out: Annotated[Path, typer.Option(help="Output folder for A2B/, B2A/ and overview.png.")],
    data: Data = DATA,
    split: Annotated[str, typer.Option(help="Split to translate: test or train.")] = "test",
    raw: Annotated[
        bool, typer.Option(help="Use the generators of the last step instead of the averaged ones.")
    ] = False,
) -> None:
    """Translate the held-out pictures both ways: input, identity, translation, reconstruction and attention in seven rows."""
    from photo2cartoon.evaluation.translate import translate_dataset
    from photo2cartoon.progress import note

    if context.info_name == "test":
        note("p2c test is called `p2c translate` now; the old name works for one more release")

    if split not in ("test", "train"):
        raise UserError(f"translate: --split is '{split}', expected test or train")
    counts = translate_dataset(checkpoint, data, out, "raw" if raw else "ema", split)
    typer.echo(f"{out}: {counts['A2B']} photographs and {counts['B2A']} cartoons; look at {out / OVERVIEW}")
