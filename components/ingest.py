"""`ingest`: raw pictures from their source, at the version that the source has now."""

from kfp.dsl import Dataset, Output

from components import component


@component()
def version(params: str) -> str:
    """What the source holds now, as a hash: DVC's own where DVC keeps it. Never from the cache.

    Args:
        params: the section `ingest`.

    Returns:
        The hash, by which `ingest` is cached.
    """
    from photo2cartoon.dataset.version import data_version
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Ingest

    with exit_on_user_error("ingest"):
        told = data_version(Ingest.model_validate_json(params))
        print(told)
        return told


@component()
def ingest(params: str, data_version: str, raw: Output[Dataset]):
    """Bring the pictures, or fail when they are no longer those of the version.

    Args:
        params: the section `ingest`.
        data_version: from `version`.
        raw: photos/, cartoons/, drawings/ and CARD.md.
    """
    from pathlib import Path

    from photo2cartoon.dataset.ingest import ingest as stage
    from photo2cartoon.dataset.version import data_version as version_of
    from photo2cartoon.errors import UserError, exit_on_user_error
    from photo2cartoon.params import Ingest

    with exit_on_user_error("ingest"):
        section = Ingest.model_validate_json(params)
        counts = stage(section, Path(raw.path))
        if version_of(section) != data_version:
            raise UserError(
                f"the pictures changed while they were fetched, {data_version} is gone: start the run again"
            )
        raw.metadata.update(counts)
        raw.metadata["data_version"] = data_version
