"""Kubeflow pipeline: the stages of dvc.yaml as components, on several machines where that helps.

`python -m pipelines.photo2cartoon` writes the YAML for the cluster; a test fails if the committed file is stale.
"""

from collections.abc import Callable
from pathlib import Path

from kfp import compiler, dsl

from components.assets import assets
from components.evaluate import candidates, collect_scores, evaluate
from components.export import export
from components.ingest import ingest, version
from components.preprocess import collect_faces, preprocess, shard
from components.promote import gate, promote
from components.resolve import resolve
from components.select import select
from components.train import train, train_distributed
from pipelines.cluster import Cluster, apply_resources, load_cluster

COMPILED = Path(__file__).with_suffix(".yaml")


def build(cluster: Cluster) -> Callable:
    """Return the pipeline function for a cluster."""

    @dsl.pipeline(name="photo2cartoon", description="Portraits, training, scores, selection, export, promotion.")
    def photo2cartoon(
        params_yaml: str,
        profile: str = "",
        revision: str = "",
        mlflow_uri: str = "",
        repository: str = "triton_repo",
        server: str = "",
    ):
        """Run every stage, from raw images to a promoted version.

        Args:
            params_yaml: text of a params.yaml.
            profile: overrides the profile in the text; empty keeps it.
            revision: git revision of the DVC repositories that images come from; empty keeps the one in the text.
            mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
            repository: Triton's model repository, a folder or an object storage URL.
            server: HOST:PORT of a running Triton that should load the version immediately; empty for none.
        """
        sections = apply_resources(
            resolve(params_yaml=params_yaml, profile=profile, revision=revision), "resolve", cluster
        ).outputs
        weights = apply_resources(assets(params=sections["assets"]), "assets", cluster).outputs["weights"]

        now = apply_resources(version(params=sections["ingest"]), "version", cluster).set_caching_options(False)
        raw = apply_resources(ingest(params=sections["ingest"], data_version=now.output), "ingest", cluster).outputs[
            "raw"
        ]
        work_items = shard(portrait=sections["portrait"], params=sections["preprocess"], shards=cluster.shards)
        with dsl.ParallelFor(
            apply_resources(work_items, "shard", cluster).output, name="shards", parallelism=cluster.at_once
        ) as work_item:
            made = apply_resources(preprocess(work_item=work_item, raw=raw, weights=weights), "preprocess", cluster)
        collected = collect_faces(params=sections["preprocess"], shards=dsl.Collected(made.outputs["faces"]))
        faces = apply_resources(collected, "collect", cluster).outputs["faces"]

        inputs = {"params": sections["train"], "faces": faces, "weights": weights, "mlflow_uri": mlflow_uri}
        if cluster.train_job:
            spec, pvc = cluster.train_job.model_dump_json(), cluster.checkpoints_pvc
            where = {"checkpoints": cluster.checkpoints, "pvc": pvc, "spec": spec, "image": cluster.image}
            trained = train_distributed(**inputs, **where)
        else:
            trained = train(**inputs, checkpoints=cluster.checkpoints, gpus=cluster.step("train").gpus)
        run = apply_resources(trained, "train", cluster).outputs["run"]

        listed = candidates(params=sections["evaluate"], run=run)
        with dsl.ParallelFor(
            apply_resources(listed, "candidates", cluster).output, name="checkpoints", parallelism=cluster.at_once
        ) as work_item:
            scored = apply_resources(
                evaluate(work_item=work_item, run=run, faces=faces, weights=weights), "evaluate", cluster
            )
        parts = dsl.Collected(scored.outputs["part"])
        gathered = collect_scores(params=sections["evaluate"], run=run, parts=parts, mlflow_uri=mlflow_uri)
        scores = apply_resources(gathered, "collect", cluster).outputs["scores"]

        chosen = select(params=sections["select"], run=run, scores=scores, mlflow_uri=mlflow_uri)
        selected = apply_resources(chosen, "select", cluster).outputs["selected"]
        exported = export(params=sections["export"], selected=selected, faces=faces, mlflow_uri=mlflow_uri)
        graph = apply_resources(exported, "export", cluster).outputs["graph"]

        # Neither `gate` nor `promote` is cached: both read the registry, which is not among their inputs.
        passed = gate(params=sections["select"], graph=graph, mlflow_uri=mlflow_uri)
        apply_resources(passed, "gate", cluster).set_caching_options(False)
        with dsl.If(passed.output == True, name="champion"):  # noqa: E712  # kfp builds the condition from it
            promoted = promote(
                params=sections["select"], graph=graph, mlflow_uri=mlflow_uri, repository=repository, server=server
            )
            apply_resources(promoted, "promote", cluster).set_caching_options(False)

    return photo2cartoon


def compile_to(path: Path = COMPILED, cluster: Cluster | None = None) -> None:
    """Write the pipeline as YAML, for the given cluster or else for the one that `pipelines/cluster.yaml` describes."""
    compiler.Compiler().compile(build(cluster or load_cluster()), str(path))


if __name__ == "__main__":
    compile_to()
