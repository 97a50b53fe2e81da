"""`params`: check the run's parameters before any work starts."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def resolve(params_yaml: str, profile: str, params: Output[Artifact]):
    """Every parameter with its default filled in, or a refusal that names the key.

    Args:
        params_yaml: the text of a params.yaml.
        profile: overrides the text's own; empty keeps it.
        params: the resolved file.
    """
    from pathlib import Path

    from photo2cartoon.params import dump, load

    given = Path(params.path).with_name("given.yaml")
    given.parent.mkdir(parents=True, exist_ok=True)
    given.write_text(params_yaml)
    dump(load(given, profile or None), Path(params.path))
