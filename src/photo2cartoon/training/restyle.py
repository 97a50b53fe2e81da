"""The restyle recipe: a trained generator takes on another style, of which there are only some cartoons.

Only the generator of cartoons is trained, from `train.start_from`. Discriminators pull its lines towards those of the new
cartoons; what is drawn where is held by the lines of the source generator's drawings and their deep features, and colours by
the photograph's own. A step takes a third of the unpaired recipe's time for a picture: there is no second generator, and no
cycle. Features of a frozen network in place of a cycle are AnimeGAN's idea (Chen et al., 2020), colours from the photograph
are too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.checkpoint import build_generator, load_generator
from photo2cartoon.dataset.faces import to_float, to_uint8
from photo2cartoon.errors import UserError
from photo2cartoon.networks.discriminator import build_discriminator
from photo2cartoon.networks.face import FaceNetwork, load_face_network
from photo2cartoon.networks.generator import Generator
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.params import Train
from photo2cartoon.pictures import grid
from photo2cartoon.training import losses
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.state import State
from photo2cartoon.training.unpaired_data import UnpairedData

DISCRIMINATORS = ("disGB", "disLB")


class RestyleTrainer:
    """A generator of cartoons, two discriminators, the generator as it was, and the step that trains them.

    Args:
        params: the `train` section.
        source: the generator that the drawings' content comes from, frozen.
        face: the frozen face network, or None when its loss is switched off.
        perceptual: the frozen classifier, or None when its loss is switched off.
        group: the processes that train together.
        data: source of `step` and `grid`.
    """

    def __init__(
        self,
        params: Train,
        source: Generator,
        face: FaceNetwork | None,
        perceptual: Perceptual | None,
        group: ProcessGroup,
        data: UnpairedData,
    ) -> None:
        self.params, self.weights, self.group, self.data = params, params.restyle, group, data
        self.state = State(build_networks(params), params, group.device, group)
        self.source = source.to(group.device).eval().requires_grad_(False)
        self.face = face.to(group.device) if face is not None else None
        self.perceptual = perceptual.to(group.device) if perceptual is not None else None

    @classmethod
    def from_folder(cls, params: Train, data: Path, weights: Path, group: ProcessGroup) -> RestyleTrainer:
        """Build from the pictures of a dataset and the frozen networks of a weights folder.

        Raises:
            UserError: there is nothing to start from, pictures or weights are missing, or the batch cannot be divided.
        """
        if not params.start_from:
            raise UserError("train.start_from: the restyle recipe needs a trained generator, such as slim")
        if params.accumulate > 1:
            raise UserError("train.accumulate: the restyle recipe takes a batch as a whole")
        group.share(params.batch)
        face = load_face_network(params.face_network, weights) if params.restyle.face_id else None
        path = find_asset("efficientnet_lite1", weights) if params.restyle.perceptual else None
        perceptual = Perceptual(path, "efficientnet-lite1") if path else None
        source = load_generator(Path(params.start_from))
        return cls(params, source, face, perceptual, group, UnpairedData.load(data, params, group.device))

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each kind in the dataset."""
        return self.data.counts

    @property
    def per_step(self) -> dict[str, int]:
        """Pictures of each kind that a step takes, over all processes."""
        return dict.fromkeys(self.counts, self.params.batch)

    def step(self, number: int) -> dict[str, Tensor]:
        """Run step `number`, from 0, on this process's share of the batch; return the losses."""
        return self(*self.data.batch(number, self.params.batch, self.group), number)

    @torch.no_grad()
    def grid(self) -> np.ndarray:
        """Photographs, the source's drawings, the averaged generator's cartoons now, and cartoons of the style: uint8 RGB."""
        photos, cartoons = self.data.shown
        given = to_float(photos.to(self.state.device))
        rows = [("photograph", photos.permute(0, 2, 3, 1).numpy())]
        for name, generator in (("as it was", self.source), ("cartoon", self.state.ema["genA2B"])):
            rows.append((name, to_uint8(generator(given).image)))
        return grid([(name, list(images)) for name, images in (*rows, ("style", cartoons.permute(0, 2, 3, 1).numpy()))])

    def __call__(self, photos: Tensor, cartoons: Tensor, step: int) -> dict[str, Tensor]:
        """Train on one batch, or on this process's share of it.

        Args:
            photos, cartoons: float32 `[N, 3, S, S]` in -1..1.
            step: from 0; sets the learning rate.

        Returns:
            Every loss of these images, unweighted, as a scalar tensor on the device.
        """
        state, count = self.state, len(photos)
        state.begin(step)
        report: dict[str, Tensor] = {}
        with torch.no_grad():
            drawings = self.source(photos).image
        given = torch.cat([photos, cartoons]) if self.weights.identity else photos
        images = state.generate("genA2B", given).image
        fakes, same = images[:count], images[count:]

        seen = losses.seen(torch.cat([cartoons, fakes.detach()]), self.weights.discriminators_see)
        outputs = (state.discriminate(name, seen).split(count) for name in state.discriminators)
        losses.backward("discriminator", losses.adversarial(outputs, losses.lsgan_discriminator), self.weights, report)
        state.update("discriminators")

        state.freeze_discriminators(True)
        seen = losses.seen(fakes, self.weights.discriminators_see)
        outputs = ([state.discriminate(name, seen)] for name in state.discriminators)
        terms = losses.adversarial(outputs, losses.lsgan_generator)
        lines, theirs = losses.lines_of(fakes), losses.lines_of(drawings)
        terms["lines"] = (lines - theirs).abs().mean()
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(lines, theirs).mean()
        if self.weights.colours:
            terms["colours"] = losses.colours(fakes, photos)
        if self.weights.identity:
            terms["identity"] = losses.identity(cartoons, same)
        if self.face is not None:
            with torch.no_grad():
                known = self.face.features(photos)
            terms["face_id"] = losses.face_id(known, self.face.features(fakes))
        losses.backward("generator", terms, self.weights, report)
        state.freeze_discriminators(False)
        state.update("generators")
        state.after_generators(count)
        return report


def build_networks(params: Train) -> dict[str, nn.Module]:
    """The generator of cartoons and the discriminators of cartoons, randomly initialised."""
    return {"genA2B": build_generator(params)} | {
        name: build_discriminator(name, params.channels) for name in DISCRIMINATORS
    }
