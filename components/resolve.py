"""`resolve` component: validates the run's parameters before any work starts and gives each stage its own section."""

from typing import NamedTuple

from components import component


@component()
def resolve(params_yaml: str, profile: str, revision: str) -> NamedTuple(
    "Sections",
    [
        ("assets", str),
        ("ingest", str),
        ("portrait", str),
        ("preprocess", str),
        ("train", str),
        ("evaluate", str),
        ("select", str),
        ("export", str),
    ],
):
    """Validate the parameters and fill in the defaults; fail with an error that names the wrong key.

    Args:
        params_yaml: text of a params.yaml.
        profile: overrides the profile in the text; empty keeps it.
        revision: git revision of the DVC repositories that images come from; empty keeps the one in the text.

    Returns:
        Each stage's section, as JSON.
    """
    import tempfile
    from pathlib import Path

    from photo2cartoon.dataset.version import at_revision
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import load

    with exit_on_user_error("params"), tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "params.yaml"
        given.write_text(params_yaml, encoding="utf-8")
        params = load(given, profile or None)
        sections = (
            params.assets,
            at_revision(params.ingest, revision),
            params.portrait,
            params.preprocess,
            params.train,
            params.evaluate,
            params.select,
            params.export,
        )
        return tuple(section.model_dump_json() for section in sections)
