"""The parameters of a training run, and the weights of the losses of each recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from photo2cartoon.errors import UserError
from photo2cartoon.params.section import Metric, NonNegative, Positive, Section, Share

Beta = Annotated[float, Field(ge=0, lt=1)]


class LossWeights(Section):
    """Weights of the losses of the unpaired recipe; 0 switches a loss off. The defaults are photo2cartoon's."""

    adversarial: NonNegative = Field(1.0, description="least-squares GAN loss on the patches")
    adversarial_cam: NonNegative = Field(1.0, description="least-squares GAN loss on the attention logits")
    cycle: NonNegative = Field(50.0, description="L1 between an image and its reconstruction")
    identity: NonNegative = Field(10.0, description="L1 between an image and its translation into its own domain")
    cam: NonNegative = Field(1000.0, description="cross-entropy of the generators' attention")
    face_id: NonNegative = Field(1.0, description="cosine distance of face features of photograph and cartoon")


class Paired(Section):
    """Weights of the losses of the paired recipe, 0 switches a loss off; and its other settings."""

    l1: NonNegative = Field(1.0, description="L1 to the drawing")
    edges: NonNegative = Field(1.0, description="L1 to the drawing's image gradients, which are its lines")
    perceptual: NonNegative = Field(0.5, description="distance to the drawing's features in EfficientNet-Lite1")
    adversarial: NonNegative = Field(
        0.0, description="least-squares GAN loss on the patches; photographs without a drawing take part"
    )
    adversarial_cam: NonNegative = Field(0.0, description="least-squares GAN loss on the attention logits")
    discriminators_see: Literal["colours", "lines"] = Field(
        "colours", description="images as they are, or their lines alone, so that the losses above change no colours"
    )
    face_id: NonNegative = Field(0.0, description="cosine distance of face features, for photographs without a drawing")
    face_id_pairs: NonNegative = Field(0.0, description="the same for photographs that have a drawing")
    pseudo: NonNegative = Field(
        0.0, description="weighted sum of the first three losses, to the pseudo-labels of photographs without a drawing"
    )
    others: Annotated[int, Field(ge=0)] = Field(
        1, description="photographs without a drawing per step, and as many cartoons, when a loss uses them"
    )
    tones: Share = Field(
        0.5,
        description="probability of darkening the skin in both images of a pair (augmentation for skin tones missing"
        " from the drawings)",
    )

    @property
    def uses_discriminators(self) -> bool:
        """Whether discriminators take part."""
        return bool(self.adversarial or self.adversarial_cam)


class Restyle(Section):
    """Weights of the losses of the restyle recipe, 0 switches a loss off; and its other settings."""

    adversarial: NonNegative = Field(1.0, description="least-squares GAN loss on the patches")
    adversarial_cam: NonNegative = Field(0.5, description="least-squares GAN loss on the attention logits")
    discriminators_see: Literal["colours", "lines"] = Field(
        "lines", description="images as they are, or their lines alone, so that the losses above change no colours"
    )
    lines: NonNegative = Field(1.0, description="L1 between the lines of the cartoon and of the source generator's")
    perceptual: NonNegative = Field(0.2, description="distance of their lines' features in EfficientNet-Lite1")
    colours: NonNegative = Field(10.0, description="L1 between the coarse colours of cartoon and photograph")
    identity: NonNegative = Field(1.0, description="L1 between a cartoon of the style and its translation")
    face_id: NonNegative = Field(1.0, description="cosine distance of face features of photograph and cartoon")


RECIPE_SECTIONS = {"unpaired": "loss", "paired": "paired", "restyle": "restyle"}  # in `train`, by recipe


class Train(Section):
    """One training run. The defaults are photo2cartoon's settings: days on one GPU."""

    recipe: Literal["unpaired", "paired", "restyle"] = Field(
        "unpaired",
        description="unpaired: photo2cartoon's own; paired: from drawings of the photographs; restyle: a trained generator"
        " takes on another style",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="seed of all random numbers")
    size: Annotated[int, Field(ge=128, le=1024, multiple_of=16)] = Field(
        256, description="side of the training images, pixels"
    )
    channels: Annotated[int, Field(ge=4, multiple_of=4)] = Field(
        32, description="width of the generators and discriminators"
    )
    light: bool = Field(True, description="pooled style features: works at any size with far fewer parameters")
    norm: Literal["soft_adalin", "adalin"] = Field(
        "soft_adalin", description="normalisation in the decoder: photo2cartoon's or U-GAT-IT's"
    )
    hourglasses: bool = Field(True, description="photo2cartoon's hourglass modules; false: none, as in U-GAT-IT")
    blocks: Annotated[int, Field(ge=1, le=16)] = Field(
        4, description="residual blocks in the encoder, and as many in the decoder"
    )
    face_network: Literal["dlib", "mobilefacenet", "mobilefacenet-128"] = Field(
        "dlib", description="network of the Face ID loss; photo2cartoon's own is mobilefacenet"
    )
    start_from: str | None = Field(None, description="checkpoint that initialises the networks; null: random weights")
    steps: Positive = Field(200_000, description="optimisation steps")
    batch: Positive = Field(1, description="images of each domain per step, over all processes")
    accumulate: Positive = Field(
        1, description="parts into which a process divides its share of the batch, to save memory"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the networks (norms and losses are always fp32); auto: bf16 on GPUs that support it"
    )
    channels_last: bool = Field(False, description="channels-last memory format")
    compile: Literal["none", "default", "reduce-overhead", "max-autotune"] = Field(
        "none", description="mode of torch.compile; reduce-overhead uses CUDA graphs on a GPU"
    )
    recompute: bool = Field(False, description="activation checkpointing: recompute activations to save memory")
    keep_memory: bool = Field(
        True, description="on a CPU: the process keeps freed memory for the next step instead of returning it"
    )
    processes: Annotated[int, Field(ge=0)] = Field(1, description="processes on this machine; 0 means one per GPU")
    lr: Annotated[float, Field(gt=0, le=1)] = Field(1e-4, description="learning rate of Adam")
    betas: tuple[Beta, Beta] = Field((0.5, 0.999), strict=False, description="betas of Adam")
    decay: bool = Field(True, description="linear decay of the learning rate to zero over the second half of the run")
    weight_decay: NonNegative = Field(1e-4, description="weight decay of Adam")
    clip_rho: Share = Field(1.0, description="maximum of rho, which blends instance with layer normalisation")
    clip_w: Share = Field(1.0, description="maximum of w, which blends content with style in Soft-AdaLIN")
    ema_halflife: NonNegative = Field(
        500.0, description="half-life of the generators' EMA (exponential moving average), in images; 0: no averaging"
    )
    checkpoint_every: Positive = Field(5000, description="steps between checkpoints")
    save_minutes: NonNegative = Field(
        10.0,
        description="minutes between saves of the state, beside the checkpoints; a lost process loses at most that",
    )
    keep: Positive = Field(10, description="number of latest checkpoints to keep")
    score: Metric | None = Field(
        None, description="metric that scores each checkpoint on the held-out photographs during training"
    )
    keep_best: Annotated[int, Field(ge=0)] = Field(3, description="number of best checkpoints by score to keep as well")
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="early stopping after this many checkpoints without a better score; 0: off"
    )
    sample_every: Positive = Field(1000, description="steps between sample grids")
    log_every: Positive = Field(10, description="steps between rows of the loss curves")
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(0, description="CPU threads; 0 means one per core")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one")
    loss: LossWeights = Field(LossWeights(), description="loss weights of the unpaired recipe")
    paired: Paired = Field(Paired(), description="loss weights and more of the paired recipe")
    restyle: Restyle = Field(Restyle(), description="loss weights of the restyle recipe")

    @property
    def losses(self) -> LossWeights | Paired | Restyle:
        """The loss weights of the recipe."""
        return getattr(self, RECIPE_SECTIONS[self.recipe])

    @property
    def uses_face_id(self) -> bool:
        """Whether a Face ID loss of the recipe is on."""
        return bool(self.losses.face_id or (self.recipe == "paired" and self.paired.face_id_pairs))

    def check_processes(self, count: int) -> None:
        """Check that every training process gets as many pictures per step.

        Raises:
            UserError: the pictures cannot be divided evenly.
        """
        paired = self.paired
        beside = self.recipe == "paired" and (paired.uses_discriminators or paired.face_id or paired.pseudo)
        for key, pictures in {"batch": self.batch, "paired.others": paired.others if beside else 0}.items():
            if pictures % count:
                raise UserError(f"train.{key}: {pictures} pictures cannot be divided among {count} processes")

    @property
    def unused(self) -> set[str]:
        """Sections of the other recipes."""
        return {*RECIPE_SECTIONS.values()} - {RECIPE_SECTIONS[self.recipe]}

    @model_validator(mode="after")
    def _patience_has_a_score(self) -> Train:
        if self.patience and not self.score:
            raise ValueError("patience needs a score")
        if self.patience and not self.keep_best:
            raise ValueError("patience needs keep_best: it counts from the best checkpoint")
        return self

    @model_validator(mode="after")
    def _others_are_given(self) -> Train:
        if self.recipe == "paired" and not self.paired.others:
            for key in ("pseudo", "face_id"):
                if getattr(self.paired, key):
                    raise ValueError(f"paired.{key} needs paired.others: photographs without a drawing per step")
        return self
