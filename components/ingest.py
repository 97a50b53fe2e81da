"""`ingest` component: copies raw images from their source, at the version that `check` found."""

from kfp.dsl import Dataset, Output

from components import component


@component()
def ingest(params: dict, photos: str, cartoons: str, revision: str, data_version: str, raw: Output[Dataset]):
    """Copy the raw images from their source; fail if they no longer match the version.

    Args:
        params: section `ingest`.
        photos, cartoons, revision: parameters of the pipeline.
        data_version: output of `check`.
        raw: receives photos/, cartoons/, drawings/ and CARD.md.
    """
    from pathlib import Path

    from photo2cartoon.dataset.ingest import ingest as stage
    from photo2cartoon.dataset.version import at_revision
    from photo2cartoon.dataset.version import data_version as version_of
    from photo2cartoon.errors import UserError, exit_on_user_error
    from photo2cartoon.params.arguments import ingest_of

    with exit_on_user_error("ingest"):
        section = at_revision(ingest_of(params, photos, cartoons), revision)
        counts = stage(section, Path(raw.path))
        if version_of(section) != data_version:
            raise UserError(
                f"the pictures changed while they were fetched, {data_version} is gone: start the run again"
            )
        raw.metadata.update(counts)
        raw.metadata["data_version"] = data_version
