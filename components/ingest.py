"""`ingest` components: copy raw images from their source, at the version that the source has now."""

from kfp.dsl import Dataset, Output

from components import component


@component()
def version(params: str) -> str:
    """Return the current version of the source: a hash, DVC's own where DVC tracks the images. Never cached.

    Args:
        params: section `ingest`, as JSON.

    Returns:
        The version, which is part of the cache key of `ingest`.
    """
    from photo2cartoon.dataset.version import data_version
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Ingest

    with exit_on_user_error("ingest"):
        found = data_version(Ingest.model_validate_json(params))
        print(found)
        return found


@component()
def ingest(params: str, data_version: str, raw: Output[Dataset]):
    """Copy the raw images from their source; fail if they no longer match the version.

    Args:
        params: section `ingest`, as JSON.
        data_version: output of `version`.
        raw: receives photos/, cartoons/, drawings/ and CARD.md.
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
