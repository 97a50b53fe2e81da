"""`make pipeline-local`: the very pipeline a cluster would run, here, each component in a process of its own."""

import argparse
import os
import sys
from pathlib import Path

from kfp import local

from photo2cartoon.errors import UserError
from photo2cartoon.params import load
from photo2cartoon.tracking import tracking_uri
from pipelines.photo2cartoon import photo2cartoon


def run(params: Path, repository: Path, profile: str = "", root: Path = Path("var/pipeline")) -> int:
    """Run every stage and promote.

    Args:
        params: a params.yaml.
        repository: Triton's model repository.
        profile: overrides the file's own.
        root: where artifacts go.

    Returns:
        The version that was promoted.

    Raises:
        UserError: the parameters are wrong, or a component failed.
    """
    load(params, profile or None)
    # Components run in a folder of their own, with this environment's interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root.resolve()), raise_on_error=False)
    task = photo2cartoon(
        params_yaml=params.read_text(encoding="utf-8"),
        profile=profile,
        mlflow_uri=tracking_uri(),
        repository=str(repository.resolve()),
    )
    if not task.outputs:
        raise UserError("pipeline: a component failed; what it printed above says why")
    return task.output


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--profile", default="")
    parser.add_argument("--repository", type=Path, default=Path("triton_repo"))
    values = parser.parse_args()
    try:
        version = run(values.params, values.repository, values.profile)
    except UserError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{values.repository}/generator/{version}: in place")


if __name__ == "__main__":
    main()
