"""`preprocess`: raw pictures to aligned, cut-out portraits, in shards on as many machines as there are, then collected."""

from kfp.dsl import Dataset, Input, Model, Output

from components import component


@component()
def shard(portrait: str, params: str, shards: int) -> list[str]:
    """A work item for every shard.

    Args:
        portrait, params: the sections `portrait` and `preprocess`.
        shards: how many there are.

    Returns:
        Work items as JSON. They hold all parameters of `preprocess`: inside a loop, kfp's local runner takes parameters from
        nowhere else.
    """
    import json

    wish = {"portrait": json.loads(portrait), "preprocess": json.loads(params), "shards": shards}
    return [json.dumps({**wish, "number": number}) for number in range(shards)]


@component()
def preprocess(work_item: str, raw: Input[Dataset], weights: Input[Model], faces: Output[Dataset]):
    """Make the portraits of one shard of the pictures.

    Args:
        work_item: from `shard`.
        raw: raw pictures.
        weights: the weights folder.
        faces: portraits, and what became of every picture.
    """
    import json
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import preprocess_shard, raw_folders
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import check

    with exit_on_user_error("preprocess"):
        wish = json.loads(work_item)
        params = check({name: wish[name] for name in ("portrait", "preprocess")}, "work_item")
        photos, cartoons, drawings = raw_folders(Path(raw.path))
        places = photos, cartoons, Path(weights.path), Path(faces.path)
        rows = preprocess_shard(*places, params.portrait, params.preprocess, drawings, wish["number"], wish["shards"])
        faces.metadata |= Counter(row.result for row in rows)


@component()
def collect_faces(params: str, shards: Input[list[Dataset]], faces: Output[Dataset]):
    """Put the shards together and hold some people out.

    Args:
        params: the section `preprocess`.
        shards: what `preprocess` made.
        faces: trainA, trainB, testA, testB, drawnA and pictures.csv.
    """
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import collect
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Preprocess

    with exit_on_user_error("preprocess"):
        rows = collect([Path(shard.path) for shard in shards], Path(faces.path), Preprocess.model_validate_json(params))
        faces.metadata |= Counter(row.result for row in rows)
