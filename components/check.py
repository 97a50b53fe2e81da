"""`check` component: validates all parameters before any work starts, and asks the source for its current version."""

from components import component


@component()
def check(
    assets: dict,
    ingest: dict,
    portrait: dict,
    preprocess: dict,
    train: dict,
    evaluate: dict,
    select: dict,
    export: dict,
    photos: str,
    cartoons: str,
    revision: str,
    steps: int,
    batch: int,
    lr: float,
    score_on: str,
    champion: str,
) -> str:
    """Validate the parameters; return the version of the pictures at their source. Never cached.

    The version is a hash, DVC's own where DVC tracks the pictures. It is part of the cache key of `ingest`.

    Args:
        assets, ingest, portrait, preprocess, train, evaluate, select, export: sections of params.yaml.
        photos, cartoons, revision, steps, batch, lr, score_on, champion: parameters of the pipeline.

    Returns:
        The version.
    """
    from photo2cartoon.dataset.version import at_revision, data_version
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Assets, Export, PortraitParams, Preprocess
    from photo2cartoon.params import arguments as given

    with exit_on_user_error("check"):
        for kind, values in ((Assets, assets), (PortraitParams, portrait), (Preprocess, preprocess), (Export, export)):
            given.section_of(kind, values)
        given.train_of(train, steps, batch, lr)
        given.evaluate_of(evaluate, score_on)
        given.select_of(select, champion)
        version = data_version(at_revision(given.ingest_of(ingest, photos, cartoons), revision))
        print(version)
        return version
