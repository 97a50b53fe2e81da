"""`check` component: validates all parameters and asks every service before any work starts."""

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
    promotion: str,
    mlflow_uri: str,
    repository: str,
    server: str,
) -> str:
    """Validate the parameters and reach MLflow, model repository and server; return the version of the pictures. Never cached.

    The version is a hash, DVC's own where DVC tracks the pictures. It is part of the cache key of `ingest`.

    Args:
        assets, ingest, portrait, preprocess, train, evaluate, select, export: sections of params.yaml.
        photos, cartoons, revision, steps, batch, lr, score_on, promotion: parameters of the pipeline.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        repository: Triton's model repository; a folder is not looked at, because only `promote` mounts it.
        server: HOST:PORT of the Triton that will load the version; it must listen if the repository has versions.

    Returns:
        The version.
    """
    from photo2cartoon.dataset.preprocess import held_out_names
    from photo2cartoon.dataset.source_version import at_revision, data_version
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Assets, Export, PortraitParams, Preprocess
    from photo2cartoon.params import arguments as given
    from photo2cartoon.scoring.names import check_choice, check_training_score
    from photo2cartoon.serving.storage import must_be_usable
    from photo2cartoon.tracking.server import must_answer

    with exit_on_user_error("check"):
        for kind, values in ((Assets, assets), (PortraitParams, portrait), (Export, export)):
            given.section_of(kind, values)
        held_out_names(given.section_of(Preprocess, preprocess).test_list)  # a file of the image, if any
        check_training_score(given.train_of(train, steps, batch, lr).score)
        given.evaluate_of(evaluate, score_on)
        choosing = given.select_of(select, promotion)
        check_choice(choosing.rank, choosing.floors)
        must_answer(mlflow_uri)
        must_be_usable(repository, server)
        version = data_version(at_revision(given.ingest_of(ingest, photos, cartoons), revision))
        print(version)
        return version
