"""Kubeflow pipeline: the stages of dvc.yaml as components, on several machines where that helps.

`python -m pipelines.photo2cartoon` writes the YAML for the cluster; a test fails if the committed file is stale.
"""

import re
from collections.abc import Callable
from pathlib import Path

from kfp import compiler, dsl

from components.assets import assets as assets_step
from components.check import check
from components.evaluate import evaluate as evaluate_step
from components.finish import finish
from components.preprocess import collect_faces, preprocess_shard
from components.preprocess import preprocess as preprocess_step
from components.promote import promote
from components.train import train as train_step
from components.train_at import train as train_at
from components.train_distributed import train as train_distributed
from photo2cartoon.params import load
from photo2cartoon.params.arguments import to_arguments
from pipelines.cluster import Cluster, apply_resources, load_cluster

COMPILED = Path(__file__).with_suffix(".yaml")
DESCRIPTION = "Photographs to cartoons: portraits, training, scores, selection, export, promotion."
DEFAULTS = Path(__file__).parents[1] / "params.yaml"


def build(cluster: Cluster) -> Callable:
    """Return the pipeline function for a cluster. Its defaults are those of the project's params.yaml."""
    default = to_arguments(load(DEFAULTS))

    # All three, because Kubeflow's defaults for success and failure would outweigh one for both.
    ends = ("finished", "success", "failure")
    config = dsl.PipelineConfig(
        active_deadline_seconds=cluster.deadline,
        **{f"ttl_seconds_after_{end}": cluster.keep_finished for end in ends},
    )

    @dsl.pipeline(
        name="photo2cartoon",
        description=DESCRIPTION,
        pipeline_config=config,
    )
    def photo2cartoon(
        photos: str = default["photos"],
        cartoons: str = default["cartoons"],
        revision: str = default["revision"],
        steps: int = default["steps"],
        batch: int = default["batch"],
        lr: float = default["lr"],
        score_on: str = default["score_on"],
        promotion: str = default["promotion"],
        mlflow_uri: str = "",
        repository: str = cluster.model_repository,
        server: str = "",
        assets: dict = default["assets"],
        ingest: dict = default["ingest"],
        portrait: dict = default["portrait"],
        preprocess: dict = default["preprocess"],
        train: dict = default["train"],
        evaluate: dict = default["evaluate"],
        select: dict = default["select"],
        export: dict = default["export"],
    ):
        """Run every stage, from raw images to a promoted version.

        Args:
            photos: source of the photographs: sample, worldwide, a folder, or a URL (s3://bucket/path, dvc+REPOSITORY#PATH).
            cartoons: source of the cartoons: sample, a folder, or a URL.
            revision: git revision of the DVC repositories that pictures come from; empty for the one in their URLs.
            steps: optimisation steps.
            batch: images of each domain per step, over all processes.
            lr: learning rate of Adam.
            score_on: photographs on which checkpoints are scored: test (held out), or all where there are few.
            promotion: when the selected version takes the alias champion, and is deployed: better (than the champion, on the
                same photographs), always, or ask (a person moves the alias).
            mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
            repository: Triton's model repository, a folder or an object storage URL.
            server: HOST:PORT of a running Triton that should load the version immediately; empty for none.
            assets: third-party weights, section of params.yaml.
            ingest: other settings of the sources, section of params.yaml.
            portrait: detector, landmarks and segmentation, section of params.yaml.
            preprocess: split and alignment, section of params.yaml.
            train: networks, losses and their weights, checkpoints, section of params.yaml.
            evaluate: scores, section of params.yaml.
            select: metric and registered model, section of params.yaml.
            export: the ONNX graph, section of params.yaml.
        """

        def on_cluster(task: dsl.PipelineTask, name: str, cached: bool = True) -> dict:
            apply_resources(task, name, cluster).set_caching_options(cached)
            return task.outputs

        # Runs at the end whatever happened.
        job = cluster.train_job
        ended = finish(
            mlflow_uri=mlflow_uri, webhook=cluster.webhook or "", train_job=bool(job), namespace=(job and job.namespace) or "",
        )  # fmt: skip
        on_cluster(ended, "finish", cached=False)
        with dsl.ExitHandler(ended, name="steps"):
            sources = {"photos": photos, "cartoons": cartoons, "revision": revision}
            hyper = {"steps": steps, "batch": batch, "lr": lr}
            # Neither `check` nor `promote` is cached: they read the source and the registry, which are no inputs.
            checked = check(
                assets=assets, ingest=ingest, portrait=portrait, preprocess=preprocess, train=train, evaluate=evaluate,
                select=select, export=export, score_on=score_on, promotion=promotion, mlflow_uri=mlflow_uri,
                repository=repository, server=server, **sources, **hyper,
            )  # fmt: skip
            version = on_cluster(checked, "check", cached=False)["Output"]
            weights = on_cluster(assets_step(params=assets), "assets")

            making = {"params": preprocess, "portrait": portrait, "weights": weights["portrait"], **sources}
            making |= {"ingest": ingest, "data_version": version}
            if cluster.shards == 1:
                portraits = on_cluster(preprocess_step(score_on=score_on, **making), "preprocess")
            else:
                shards = {}
                for number in range(cluster.shards):
                    shard = preprocess_shard(number=number, shards=cluster.shards, **making)
                    shards[f"shard_{number}"] = on_cluster(shard, "preprocess")["shard"]
                portraits = on_cluster(collect_faces(params=preprocess, score_on=score_on, **shards), "collect")

            training = {"params": train, "faces": portraits["faces"], "weights": weights["training"], **hyper}
            training["mlflow_uri"] = mlflow_uri
            if cluster.train_job:
                where = {"place": cluster.training_place, "pvc": cluster.checkpoints_pvc or "", "image": cluster.image}
                trained = train_distributed(spec=cluster.train_job_spec(), **where, **training)
            elif cluster.training_place:
                trained = train_at(place=cluster.training_place, gpus=cluster.step("train").gpus, **training)
            else:
                trained = train_step(gpus=cluster.step("train").gpus, **training)
            averages = on_cluster(trained, "train")["averages"]

            scoring = {
                "params": evaluate,
                "select": select,
                "score_on": score_on,
                "averages": averages,
                "mlflow_uri": mlflow_uri,
            }
            evaluated = on_cluster(
                evaluate_step(scored=portraits["scored"], weights=weights["scoring"], **scoring), "evaluate"
            )
            promoted = promote(
                params=select, export=export, portrait=portrait, promotion=promotion, scores=evaluated["scores"],
                finalists=evaluated["finalists"], examples=portraits["examples"], weights=weights["packed"],
                mlflow_uri=mlflow_uri, repository=repository, server=server,
            )  # fmt: skip
            on_cluster(promoted, "promote", cached=False)

    return photo2cartoon


def compile_to(path: Path = COMPILED, cluster: Cluster | None = None) -> None:
    """Write the pipeline as YAML, for the given cluster or else for the one that `pipelines/cluster.yaml` describes."""
    compiler.Compiler().compile(build(cluster or load_cluster()), str(path))
    # kfp repeats the defaults in a comment, where the order of a dictionary's keys changes from run to run.
    text = re.sub(r"^(#    \w+: dict) \[Default: .*\]$", r"\1", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    compile_to()
