"""`assets` component: collects and verifies third-party weights."""

from kfp.dsl import Model, Output

from components import component


@component()
def assets(params: str, weights: Output[Model]):
    """Collect the third-party weights and verify their hashes.

    Args:
        params: section `assets`, as JSON.
        weights: receives the weights files.
    """
    from pathlib import Path

    from photo2cartoon.assets.collect import collect
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Assets

    with exit_on_user_error("assets"):
        folder = Assets.model_validate_json(params).folder
        collect(Path(weights.path), Path(folder) if folder else None)
