"""The pipeline: the stages of dvc.yaml as Kubeflow components.

`python -m pipelines.photo2cartoon` writes the YAML that a cluster is given; a test fails when the committed one is stale.
"""

from pathlib import Path

from kfp import compiler, dsl

from components.assets import assets
from components.evaluate import evaluate
from components.export import export
from components.ingest import ingest
from components.preprocess import preprocess
from components.promote import promote
from components.resolve import resolve
from components.select import select
from components.train import train

COMPILED = Path(__file__).with_suffix(".yaml")


@dsl.pipeline(name="photo2cartoon", description="Portraits, training, scores, selection, export, promotion.")
def photo2cartoon(
    params_yaml: str, profile: str = "", mlflow_uri: str = "", repository: str = "triton_repo", server: str = ""
) -> int:
    """Every stage, from raw pictures to a promoted version.

    Args:
        params_yaml: the text of a params.yaml.
        profile: overrides the text's own.
        mlflow_uri: MLflow's tracking server; empty for the environment's.
        repository: Triton's model repository.
        server: HOST:PORT of a running Triton that shall load the version.

    Returns:
        The version that was promoted.
    """
    params = resolve(params_yaml=params_yaml, profile=profile).outputs["params"]
    weights = assets(params=params).outputs["weights"]
    raw = ingest(params=params).outputs["raw"]
    faces = preprocess(params=params, raw=raw, weights=weights).outputs["faces"]
    run = train(params=params, faces=faces, weights=weights, mlflow_uri=mlflow_uri).outputs["run"]
    scores = evaluate(params=params, run=run, faces=faces, weights=weights, mlflow_uri=mlflow_uri).outputs["scores"]
    selected = select(params=params, run=run, scores=scores, mlflow_uri=mlflow_uri).outputs["selected"]
    graph = export(params=params, selected=selected, faces=faces, mlflow_uri=mlflow_uri).outputs["graph"]
    promoted = promote(params=params, graph=graph, mlflow_uri=mlflow_uri, repository=repository, server=server)
    promoted.set_caching_options(False)  # it answers to the registry, which its inputs do not show
    return promoted.output


def compile_to(path: Path = COMPILED) -> None:
    """Write the pipeline as YAML."""
    compiler.Compiler().compile(photo2cartoon, str(path))


if __name__ == "__main__":
    compile_to()
