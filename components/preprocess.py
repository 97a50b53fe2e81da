"""`preprocess` components: copy the raw images from their source and make aligned, cut-out portraits of them.

One pod does it, or several shards. The raw images are no artifact of their own: a pod fetches them from the source as
fast as from the artifact store, and a step less is ten seconds less on a cluster.
"""

from typing import Optional

from kfp.dsl import Dataset, Input, Markdown, Model, Output

from components import component

SHARDS = 8  # inputs of `collect_faces`


@component()
def preprocess(
    params: dict,
    portrait: dict,
    ingest: dict,
    photos: str,
    cartoons: str,
    revision: str,
    data_version: str,
    score_on: str,
    weights: Input[Model],
    faces: Output[Dataset],
    scored: Output[Dataset],
    examples: Output[Dataset],
    sources: Output[Markdown],
):
    """Make the dataset from the images at their source.

    Args:
        params: section `preprocess`.
        portrait: section `portrait`.
        ingest: section `ingest`.
        photos, cartoons, revision: parameters of the pipeline.
        data_version: output of `check`; the step fails if the source no longer matches it.
        score_on: parameter of the pipeline.
        weights: output `portrait` of `assets`.
        faces: receives trainA, trainB, testA, testB, drawnA and pictures.csv, for `train`.
        scored: receives the portraits and cartoons that `evaluate` compares.
        examples: receives the portraits on which `promote` compares the exported graph with torch.
        sources: receives the card that names the sources and their licences, for Kubeflow's page.
    """
    import shutil
    import tempfile
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import preprocess as stage
    from photo2cartoon.dataset.preprocess import raw_folders
    from photo2cartoon.dataset.source_version import at_revision, ingest_version
    from photo2cartoon.dataset.subsets import copy_examples, copy_scored
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.layout import SOURCES
    from photo2cartoon.params import PortraitParams, Preprocess
    from photo2cartoon.params.arguments import ingest_of, section_of

    with exit_on_user_error("preprocess"), tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        ingest_version(at_revision(ingest_of(ingest, photos, cartoons), revision), data_version, raw)
        raw_photos, raw_cartoons, drawings = raw_folders(raw)
        sections = section_of(PortraitParams, portrait), section_of(Preprocess, params)
        rows = stage(raw_photos, raw_cartoons, Path(weights.path), Path(faces.path), *sections, drawings)
        faces.metadata |= {**Counter(row.result for row in rows), "data_version": data_version}
        copy_scored(Path(faces.path), Path(scored.path), score_on)
        copy_examples(Path(faces.path), Path(examples.path))
        shutil.copyfile(raw / SOURCES, sources.path)


@component()
def preprocess_shard(
    params: dict,
    portrait: dict,
    ingest: dict,
    photos: str,
    cartoons: str,
    revision: str,
    data_version: str,
    number: int,
    shards: int,
    weights: Input[Model],
    shard: Output[Dataset],
    sources: Output[Markdown],
):
    """Make the portraits of every `shards`-th raw image.

    Args:
        params: section `preprocess`.
        portrait: section `portrait`.
        ingest: section `ingest`.
        photos, cartoons, revision: parameters of the pipeline.
        data_version: output of `check`; the step fails if the source no longer matches it.
        number: index of the shard, from 0.
        shards: number of shards.
        weights: output `portrait` of `assets`.
        shard: receives the portraits and a table with the result for every image.
        sources: as for `preprocess`.
    """
    import shutil
    import tempfile
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import preprocess_shard as stage
    from photo2cartoon.dataset.preprocess import raw_folders
    from photo2cartoon.dataset.source_version import at_revision, ingest_version
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.layout import SOURCES
    from photo2cartoon.params import PortraitParams, Preprocess
    from photo2cartoon.params.arguments import ingest_of, section_of

    with exit_on_user_error("preprocess"), tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        ingest_version(at_revision(ingest_of(ingest, photos, cartoons), revision), data_version, raw)
        raw_photos, raw_cartoons, drawings = raw_folders(raw)
        sections = section_of(PortraitParams, portrait), section_of(Preprocess, params)
        places = raw_photos, raw_cartoons, Path(weights.path), Path(shard.path)
        rows = stage(*places, *sections, drawings, number, shards)
        shard.metadata |= {**Counter(row.result for row in rows), "data_version": data_version}
        shutil.copyfile(raw / SOURCES, sources.path)


@component()
def collect_faces(
    params: dict,
    score_on: str,
    shard_0: Input[Dataset],
    faces: Output[Dataset],
    scored: Output[Dataset],
    examples: Output[Dataset],
    shard_1: Optional[Input[Dataset]] = None,  # noqa: UP045  # the type that kfp reads
    shard_2: Optional[Input[Dataset]] = None,  # noqa: UP045
    shard_3: Optional[Input[Dataset]] = None,  # noqa: UP045
    shard_4: Optional[Input[Dataset]] = None,  # noqa: UP045
    shard_5: Optional[Input[Dataset]] = None,  # noqa: UP045
    shard_6: Optional[Input[Dataset]] = None,  # noqa: UP045
    shard_7: Optional[Input[Dataset]] = None,  # noqa: UP045
):
    """Merge the shards into the dataset and hold out some people for testing.

    Args:
        params: section `preprocess`.
        score_on: parameter of the pipeline.
        shard_0, shard_1, shard_2, shard_3, shard_4, shard_5, shard_6, shard_7: outputs of `preprocess_shard`.
        faces, scored, examples: as for `preprocess`.
    """
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import collect
    from photo2cartoon.dataset.subsets import copy_examples, copy_scored
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Preprocess
    from photo2cartoon.params.arguments import section_of

    with exit_on_user_error("preprocess"):
        shards = [shard_0, shard_1, shard_2, shard_3, shard_4, shard_5, shard_6, shard_7]
        folders = [Path(shard.path) for shard in shards if shard is not None]
        rows = collect(folders, Path(faces.path), section_of(Preprocess, params))
        faces.metadata |= Counter(row.result for row in rows)
        copy_scored(Path(faces.path), Path(scored.path), score_on)
        copy_examples(Path(faces.path), Path(examples.path))
