"""The stages as commands: each reads its options, calls the function of its stage, and prints a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import (
    STAGES,
    Data,
    ParamsFile,
    Profile,
    WeightsFolder,
    app,
    load_params,
)
from photo2cartoon.cli.scores import show_scores
from photo2cartoon.errors import UserError
from photo2cartoon.layout import (
    DATA,
    DATASET_SETTINGS,
    NAMED_FILES,
    PICTURE_HASHES,
    RAW,
    REPORT,
    SOURCE_VERSIONS,
    SOURCES,
    TABLE,
    UNFINISHED,
    WEIGHTS,
)


@app.command("params", rich_help_panel=STAGES)
def params_(
    params: ParamsFile = None,
    profile: Profile = None,
    out: Annotated[Path | None, typer.Option(help="Write the resolved parameters to this file instead.")] = None,
    schema: Annotated[
        bool, typer.Option(help="Print the JSON schema instead: every key with its type, range and description.")
    ] = False,
) -> None:
    """Check params.yaml and print every parameter with its value and description."""
    import json

    from photo2cartoon import params as module

    if schema:
        typer.echo(json.dumps(module.Params.model_json_schema(), indent=2))
        return
    resolved = load_params(params, profile)
    if out:
        module.dump(resolved, out)
    else:
        typer.echo(module.commented(resolved))


@app.command(rich_help_panel=STAGES)
def assets(
    params: ParamsFile = None,
    out: Annotated[Path, typer.Option(help="Weights folder to fill.")] = WEIGHTS,
    portraits_only: Annotated[
        bool,
        typer.Option("--portraits-only", help="Only the files for making portraits: enough for cartoonize and serve."),
    ] = False,
) -> None:
    """Fetch third-party weights and verify their hashes."""
    from photo2cartoon.assets.collect import collect, ensure
    from photo2cartoon.portrait.maker import required_assets

    given = load_params(params)
    own = Path(folder) if (folder := given.assets.folder) else None
    if portraits_only:
        ensure(required_assets(given.portrait), out, own)
        return
    for asset, origin in collect(out, own):
        typer.echo(f"{origin:8} {asset.file}  ({asset.what}; {asset.licence})")


@app.command(rich_help_panel=STAGES)
def sources(
    params: ParamsFile = None,
    out: Annotated[Path, typer.Option(help="JSON file for the version of each source.")] = SOURCE_VERSIONS,
    files: Annotated[
        Path, typer.Option(help="JSON file for the sha256 of files that params.yaml names.")
    ] = NAMED_FILES,
) -> None:
    """Ask the sources which pictures they hold now; `dvc repro` ingests again when the answer changes.

    Also notes the contents of `preprocess.test_list` and `train.start_from`, so that an edited list or another checkpoint
    of the same name runs its stage again.
    """
    from photo2cartoon.dataset.record_sources import record_files, record_versions
    from photo2cartoon.files import local_folder

    given = load_params(params)
    record_files(given, files)
    for domain, source in record_versions(given.ingest, out, local_folder() / PICTURE_HASHES).items():
        typer.echo(f"{domain:9} {source['source']}{f' {place}' if (place := source['at']) else ''} {source['version']}")


@app.command(rich_help_panel=STAGES)
def ingest(
    params: ParamsFile = None,
    out: Annotated[Path, typer.Option(help="Output folder for photos/, cartoons/ and CARD.md.")] = RAW,
) -> None:
    """Fetch raw photographs and cartoons from their sources."""
    from photo2cartoon.dataset.ingest import ingest as stage

    counts = stage(load_params(params).ingest, out)
    typer.echo(
        f"{out}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}; {out / SOURCES} names the sources"
    )


@app.command(rich_help_panel=STAGES)
def preprocess(
    out: Annotated[
        Path,
        typer.Option(help="Output folder for trainA, testA (photographs), trainB, testB (cartoons), pictures.csv."),
    ],
    raw: Annotated[
        Path | None, typer.Option(help="Output of `p2c ingest`, with photos/, cartoons/ and maybe drawings/.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs.")] = None,
    cartoons: Annotated[Path | None, typer.Option(help="Folder of cartoons.")] = None,
    drawings: Annotated[
        Path | None, typer.Option(help="Folder of drawings of some of the photographs, with the same names.")
    ] = None,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Detect, level, crop and cut out every face, on all cores.

    Portraits that an earlier or an interrupted run has made of the same pictures by the same settings are kept.
    """
    from collections import Counter

    from photo2cartoon.dataset.preprocess import preprocess as stage
    from photo2cartoon.dataset.preprocess import raw_folders
    from photo2cartoon.files import local_folder

    values = load_params(params)
    if raw:
        if photos or cartoons or drawings:
            raise UserError("preprocess: --raw takes the place of --photos, --cartoons and --drawings")
        photos, cartoons, drawings = raw_folders(raw)
    records = local_folder() / DATASET_SETTINGS
    rows = stage(photos, cartoons, weights, out, values.portrait, values.preprocess, drawings, records)
    counts = Counter(row.result for row in rows)
    summary = ", ".join(
        f"{count} {result}" for result, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    typer.echo(f"{out}: {summary}; {out / TABLE} lists the result for each picture")


@app.command(rich_help_panel=STAGES)
def train(
    out: Annotated[
        Path, typer.Option(help="Run folder for checkpoints/, samples/, stats.jsonl, curves.csv and run.json.")
    ],
    params: ParamsFile = None,
    profile: Profile = None,
    data: Data = DATA,
    weights: WeightsFolder = WEIGHTS,
    resume: Annotated[bool, typer.Option(help="Resume from the newest state or checkpoint in --out.")] = False,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume",
            help="Resume an unfinished run of the same parameters, images, weights and code, or start a new one. Until"
            " it is finished, a run is kept in var/training; then it goes to --out. `dvc repro` trains this way.",
        ),
    ] = False,
    place: Annotated[
        str | None, typer.Option(metavar="URL", help="Keep the run in object storage too, and resume from there.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Initialise the networks from this checkpoint; overrides train.start_from.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan of the run with measured time and memory; write nothing.")
    ] = False,
) -> None:
    """Train the networks: from scratch, from a checkpoint, or resuming a run."""
    from photo2cartoon.files import local_folder
    from photo2cartoon.params import DEFAULT_FILE
    from photo2cartoon.progress import note
    from photo2cartoon.training.distributed import count_processes, in_group, pick_device

    if auto_resume and (resume or place or in_group()):
        raise UserError("train: --auto-resume finds the run by itself: use it without --resume, --place and torchrun")
    section = load_params(params, profile).train
    if start_from:
        section = section.model_copy(update={"start_from": start_from})
    defaults = params is None and not DEFAULT_FILE.exists() and not in_group()
    if dry_run or defaults:
        from photo2cartoon.training.plan import plan

        if defaults and not dry_run:
            note(
                f"No params.yaml here: the defaults, {section.steps} steps, are used (`p2c params` lists them). They take:"
            )
        device = pick_device(section.device)
        lines = plan(section, data, weights, device, count_processes(section, device))
        if dry_run:
            typer.echo("\n".join(lines))
            return
        note("\n".join(lines))
    if auto_resume:
        from photo2cartoon.training.auto_resume import train_or_resume

        last = train_or_resume(section, data, weights, out, local_folder() / UNFINISHED)
    else:
        from photo2cartoon.training.loop import train as stage

        last = stage(section, data, weights, out, resume, place)
    typer.echo(f"{last}: the last checkpoint; {out / 'samples'} has the sample grids")


@app.command(rich_help_panel=STAGES)
def evaluate(
    train: Annotated[Path, typer.Option(help="Run folder of `p2c train`.")],
    out: Annotated[Path, typer.Option(help="Output folder for scores.json, scores.csv, drawings.png.")],
    params: ParamsFile = None,
    data: Data = DATA,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Score every checkpoint, and the champion on the same photographs."""
    from photo2cartoon.evaluation.evaluate import evaluate as stage

    values = load_params(params)
    show_scores(stage(values.evaluate, train, data, weights, out, values.select), out)


@app.command(rich_help_panel=STAGES)
def select(
    scores: Annotated[Path, typer.Option(help="Output folder of `p2c evaluate`.")],
    train: Annotated[Path, typer.Option(help="Run folder of `p2c train`.")],
    out: Annotated[Path, typer.Option(help="Folder for the selected checkpoint.")],
    params: ParamsFile = None,
    metrics: Annotated[Path | None, typer.Option(help="JSON file for its scores, as `dvc metrics` reads them.")] = None,
) -> None:
    """Select the best checkpoint and register it in MLflow."""
    from photo2cartoon.evaluation.selection import select as stage
    from photo2cartoon.tracking.client import link

    chosen = stage(load_params(params).select, scores, train, out, metrics)
    for name, reason in sorted(chosen.reasons.items()):
        typer.echo(f"{name}: {reason}")
    typer.echo(
        f"{chosen.checkpoint}: {chosen.metric} {chosen.score:.4g} (the photographs themselves: "
        f"{chosen.photographs_score:.4g}); registered as {chosen.model} version {chosen.version}, "
        f"{'champion' if chosen.champion else 'candidate: a person may make it champion in MLflow'}"
    )
    if page := link(f"models/{chosen.model}/versions/{chosen.version}"):
        typer.echo(page)


@app.command(rich_help_panel=STAGES)
def export(
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder.")] = None,
    version: Annotated[
        int | None, typer.Option(help="Instead of --checkpoint: version in MLflow, which gets the graph.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="ONNX file to write; optional with --version.")] = None,
    params: ParamsFile = None,
    data: Annotated[
        Path | None, typer.Option(help="Dataset with the portraits on which the graph is compared with torch.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file for the comparison.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="JSON file for its numbers, as `dvc metrics` reads them.")
    ] = None,
    weights: WeightsFolder = WEIGHTS,
) -> None:
    """Export the generator to ONNX and check it against torch."""
    from photo2cartoon.export.export import export as stage
    from photo2cartoon.export.export import export_version

    if (checkpoint is None) == (version is None) or (checkpoint and not out):
        raise UserError("export: needs --checkpoint and --out, or --version")
    values = load_params(params)
    typer.echo("Exporting, and comparing with torch: half a minute", err=True)
    if version is not None:
        model = values.select.model_name
        parity = export_version(values.export, model, version, data, out, values.portrait, weights)
        place = out or f"version {version} of {model}"
    else:
        assert checkpoint is not None and out is not None
        place = out
        parity = stage(values.export, checkpoint, data, out, report, metrics, values.portrait, weights)
    typer.echo(
        f"{place}: differs from torch by {parity.mean_difference:.4f} levels of 255 on average, {parity.max_difference:.0f}"
        f" at most, on {parity.portraits} portraits"
    )


@app.command(rich_help_panel=STAGES)
def report(
    scores: Annotated[Path, typer.Option(help="Output folder of `p2c evaluate`.")],
    train: Annotated[Path, typer.Option(help="Run folder of `p2c train`.")],
    selected: Annotated[Path, typer.Option(help="Output folder of `p2c select`.")],
    out: Annotated[Path, typer.Option(help="HTML file.")] = REPORT,
) -> None:
    """Write the choice and its reason, scores, groups, curves and pictures as one HTML file that needs no server."""
    from photo2cartoon.evaluation.report import report as stage

    stage(scores, train, selected, out)
    typer.echo(f"{out}: open it in a browser")
