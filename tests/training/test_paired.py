"""The paired recipe learns the drawings; photographs without a drawing take part; resuming is exact."""

import json
import shutil

import numpy as np
import pytest
import torch

from photo2cartoon import checkpoint
from photo2cartoon.errors import UserError
from photo2cartoon.params import Paired, Train
from photo2cartoon.training import losses
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.loop import train
from photo2cartoon.training.paired import PairedTrainer

ALL = Paired(l1=1, edges=1, perceptual=0.5, adversarial=0.1, adversarial_cam=0.1, face_id=0.5, others=2)
TINY = Train(
    recipe="paired", size=128, channels=4, steps=4, batch=2, lr=2e-3, ema_halflife=2.0, checkpoint_every=2,
    sample_every=4, log_every=1,
)  # fmt: skip


def curves(folder):
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def test_it_learns_the_drawings(drawn_faces, weights, tmp_path):
    longer = TINY.model_copy(update={"steps": 30, "channels": 8, "hourglasses": False, "paired": Paired(tones=0.0)})
    train(longer, drawn_faces, weights, tmp_path / "run")
    rows = curves(tmp_path / "run")
    first, last = (sum(row["generator/l1"] for row in part) / 5 for part in (rows[:5], rows[-5:]))
    assert last < 0.75 * first
    assert {"generator/l1", "generator/edges", "generator/perceptual"} <= set(rows[0])
    assert not any(name.startswith("discriminator") for name in rows[0])
    assert checkpoint.read_card(tmp_path / "run/checkpoints/step-000030").networks == ("genA2B", "genA2B.average")


def test_it_goes_on_to_the_same_bytes(drawn_faces, weights, tmp_path):
    section = TINY.model_copy(update={"paired": ALL})
    whole = train(section, drawn_faces, weights, tmp_path / "whole")
    terms = {name for name in curves(tmp_path / "whole")[0] if "/" in name}
    assert {"generator/face_id", "generator/adversarial", "discriminator/adversarial_cam"} <= terms
    train(section, drawn_faces, weights, tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoints/step-000004")
    again = train(section, drawn_faces, weights, tmp_path / "again", resume=True)
    names = sorted(path.name for path in whole.glob("*.safetensors"))
    assert names[0] == "disGB.safetensors" and len(names) == 6
    for name in names:
        assert (whole / name).read_bytes() == (again / name).read_bytes(), name


def test_people_without_drawings_get_in_by_the_other_losses_alone(drawn_faces, weights):
    """With the pair losses off, gradients come from these photographs; with the other losses off, none are sampled."""
    only = Paired(l1=0, edges=0, perceptual=0, face_id=1, others=1)
    recipe = PairedTrainer.from_folder(
        TINY.model_copy(update={"paired": only}), drawn_faces, weights, ProcessGroup(0, 1, torch.device("cpu"))
    )
    recipe.step(0)
    gradients = [p.grad.abs().sum().item() for p in recipe.state.networks["genA2B"].parameters() if p.grad is not None]
    assert recipe.per_step == {"pairs": 2, "photos": 1, "cartoons": 0} and sum(gradients) > 0
    none = Paired(l1=1, others=1)
    recipe = PairedTrainer.from_folder(
        TINY.model_copy(update={"paired": none}), drawn_faces, weights, ProcessGroup(0, 1, torch.device("cpu"))
    )
    assert recipe.per_step == {"pairs": 2, "photos": 0, "cartoons": 0}


def test_people_with_drawings_keep_their_faces_by_a_loss_of_their_own(drawn_faces, weights):
    """The loss is 1 - cosine between the features of photographs and cartoons, and it trains the generator by itself."""
    only = Paired(l1=0, edges=0, perceptual=0, face_id_pairs=1, tones=0)
    recipe = PairedTrainer.from_folder(
        TINY.model_copy(update={"paired": only}), drawn_faces, weights, ProcessGroup(0, 1, torch.device("cpu"))
    )
    photos = recipe.data.batch(0, recipe.group)[0][:, :3]
    with torch.no_grad():
        known, seen = (
            recipe.face.features(pictures).double().numpy()
            for pictures in (photos, recipe.state.networks["genA2B"](photos).image)
        )
    report = recipe.step(0)
    cosines = (known * seen).sum(1) / np.linalg.norm(known, axis=1) / np.linalg.norm(seen, axis=1)
    assert report["generator/face_id_pairs"].item() == pytest.approx(1 - cosines.mean(), abs=1e-5)
    gradients = [p.grad.abs().sum().item() for p in recipe.state.networks["genA2B"].parameters() if p.grad is not None]
    assert recipe.per_step == {"pairs": 2, "photos": 0, "cartoons": 0} and sum(gradients) > 0


def test_discriminators_that_see_lines_ask_for_no_other_brightness(drawn_faces, weights):
    """The adversarial loss of an image and of the same at half its luma: far apart in colours, near in lines."""
    apart = {}
    for see in ("colours", "lines"):
        paired = Paired(l1=0, edges=0, perceptual=0, adversarial=1, discriminators_see=see)
        trainer = PairedTrainer.from_folder(
            TINY.model_copy(update={"paired": paired}), drawn_faces, weights, ProcessGroup(0, 1, torch.device("cpu"))
        )
        photos = trainer.data.batch(0, trainer.group)[0][:, :3]
        with torch.no_grad():
            seen = [losses.seen(each, see) for each in (photos, (photos + 1) / 2 - 1)]
            logits = [trainer.state.networks["disGB"](each).logit for each in seen]
        apart[see] = ((logits[0] - logits[1]).abs().mean() / logits[0].std()).item()
        assert trainer.step(0)["generator/adversarial"] > 0
    assert apart["lines"] < 0.5 * apart["colours"]


def test_a_paired_run_is_continued_unpaired(drawn_faces, weights, tmp_path):
    first = train(TINY, drawn_faces, weights, tmp_path / "first")
    unpaired = TINY.model_copy(
        update={"recipe": "unpaired", "steps": 1, "batch": 1, "lr": 1e-9, "start_from": str(first)}
    )
    last = train(unpaired, drawn_faces, weights, tmp_path / "unpaired")
    before, after = (checkpoint.load_generator(path, which="raw").state_dict() for path in (first, last))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=1e-5)


def test_without_drawings_it_says_what_is_missing(faces, weights, tmp_path):
    with pytest.raises(
        UserError, match=r"drawnA: holds no drawing of a photograph in trainA; `p2c preprocess --drawings`"
    ):
        train(TINY, faces, weights, tmp_path / "run")
