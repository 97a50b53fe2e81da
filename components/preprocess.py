"""`preprocess` components: make aligned, cut-out portraits of raw images, one pod per shard, then merge the shards."""

from kfp.dsl import Dataset, Input, Model, Output

from components import component


@component()
def shard(portrait: str, params: str, shards: int) -> list[str]:
    """List the work items, one per shard.

    Args:
        portrait: section `portrait`, as JSON.
        params: section `preprocess`, as JSON.
        shards: number of shards.

    Returns:
        Work items as JSON. They carry all parameters of `preprocess`, because inside a loop kfp's local runner
        passes on no parameters but the loop item.
    """
    import json

    item = {"portrait": json.loads(portrait), "preprocess": json.loads(params), "shards": shards}
    return [json.dumps({**item, "number": number}) for number in range(shards)]


@component()
def preprocess(work_item: str, raw: Input[Dataset], weights: Input[Model], faces: Output[Dataset]):
    """Make the portraits of one shard of the raw images.

    Args:
        work_item: one item from `shard`.
        raw: raw images, output of `ingest`.
        weights: output of `assets`.
        faces: receives the portraits and a table with the result for every image.
    """
    import json
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import preprocess_shard, raw_folders
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import check

    with exit_on_user_error("preprocess"):
        item = json.loads(work_item)
        params = check({name: item[name] for name in ("portrait", "preprocess")}, "work_item")
        photos, cartoons, drawings = raw_folders(Path(raw.path))
        places = photos, cartoons, Path(weights.path), Path(faces.path)
        rows = preprocess_shard(*places, params.portrait, params.preprocess, drawings, item["number"], item["shards"])
        faces.metadata |= Counter(row.result for row in rows)


@component()
def collect_faces(params: str, shards: Input[list[Dataset]], faces: Output[Dataset]):
    """Merge the shards into the dataset and hold out some people for testing.

    Args:
        params: section `preprocess`, as JSON.
        shards: outputs of `preprocess`, one per shard.
        faces: receives trainA, trainB, testA, testB, drawnA and pictures.csv.
    """
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import collect
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Preprocess

    with exit_on_user_error("preprocess"):
        rows = collect([Path(shard.path) for shard in shards], Path(faces.path), Preprocess.model_validate_json(params))
        faces.metadata |= Counter(row.result for row in rows)
