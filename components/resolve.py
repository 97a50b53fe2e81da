"""`resolve`: check the run's parameters before any work starts, and hand each stage its own."""

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
    """Every parameter with its default filled in, or a refusal that names the key.

    Args:
        params_yaml: the text of a params.yaml.
        profile: overrides the text's own; empty keeps it.
        revision: of the DVC repositories that pictures come from; empty keeps what the text says.

    Returns:
        Each section as JSON.
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
