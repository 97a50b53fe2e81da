"""`assets` component: collects and verifies third-party weights, an output for each step that uses them."""

from kfp.dsl import Model, Output

from components import component


@component()
def assets(
    params: dict, portrait: Output[Model], training: Output[Model], scoring: Output[Model], packed: Output[Model]
):
    """Collect the third-party weights and verify their hashes.

    Args:
        params: section `assets`.
        portrait: receives the files that `preprocess` uses.
        training: receives the files that `train` uses.
        scoring: receives the files that `evaluate` uses.
        packed: receives the few that a version in MLflow has to hold, because no installed package does.
    """
    from pathlib import Path

    from photo2cartoon.assets.catalogue import used_by
    from photo2cartoon.assets.collect import collect
    from photo2cartoon.assets.fetch import installed_file
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Assets
    from photo2cartoon.params.arguments import section_of

    with exit_on_user_error("assets"):
        folder = section_of(Assets, params).folder
        for stage, output in (("preprocess", portrait), ("train", training), ("evaluate", scoring)):
            collect(Path(output.path), Path(folder) if folder else None, used_by(stage), label=f"weights of {stage}")
        few = [asset for asset in used_by("preprocess") if not installed_file(asset)]
        collect(Path(packed.path), Path(portrait.path), few, label="weights of a version")
