"""Every parameter of a run: its type, range, default and description. `file` reads, resolves and checks params.yaml.

Nothing in here is imported by `portrait` or `networks`: they take plain values.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from photo2cartoon.errors import without_credentials

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Metric = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # scoring/metrics.py has the names; commands check them early
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of params.yaml: strict types, unknown keys refused, frozen."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Assets(Section):
    """Third-party weights."""

    folder: str | None = Field(None, description="folder that already holds weights files; searched first")


class Ingest(Section):
    """The source of raw pictures: `sample`, `worldwide` (photographs only), `folder`, or `url` (fsspec or DVC)."""

    photos: Literal["sample", "worldwide", "folder", "url"] = Field("sample", description="source of the photographs")
    photos_at: str | None = Field(None, description="folder or URL, for `photos: folder` and `photos: url`")
    cartoons: Literal["sample", "folder", "url"] = Field("sample", description="source of the cartoons")
    cartoons_at: str | None = Field(None, description="folder or URL, for `cartoons: folder` and `cartoons: url`")
    drawings: Literal["none", "folder", "url"] = Field(
        "none", description="drawings of some of the photographs, with the same names, for the paired recipe"
    )
    drawings_at: str | None = Field(None, description="folder or URL, for `drawings: folder` and `drawings: url`")
    sample_cartoons: Annotated[int, Field(ge=2, le=5000)] = Field(
        200, description="number of generated heads in the sample"
    )

    @model_validator(mode="after")
    def _place_is_named(self) -> Ingest:
        for domain in ("photos", "cartoons", "drawings"):
            kind, place = getattr(self, domain), getattr(self, f"{domain}_at")
            if (kind in ("folder", "url")) != (place is not None):
                needs = "needs" if place is None else "takes no"
                raise ValueError(f"{domain}: {kind} {needs} {domain}_at")
            if place and without_credentials(place) != place:
                raise ValueError(
                    f"{domain}_at has a password, which git and MLflow would keep: name it in the environment"
                )
        return self


class PortraitParams(Section):
    """A photograph to an aligned, cut-out portrait; preprocessing and serving share it."""

    detector: Literal["mediapipe", "hog", "mmod", "sfd", "blazeface"] = Field("mediapipe", description="face detector")
    landmarks: Literal["mediapipe", "dlib", "face-alignment"] = Field(
        "mediapipe", description="model for the 68 facial landmarks"
    )
    segmentation: Literal["selfie", "sinet", "photo2cartoon"] = Field(
        "selfie", description="model that separates the person from the background"
    )
    min_face: Annotated[int, Field(ge=16)] = Field(64, description="minimum width of the landmarks, pixels")
    max_pixels: Annotated[int, Field(ge=65_536)] = Field(
        50_000_000, description="maximum width x height of a picture; larger ones are refused before decoding"
    )
    max_bytes: Annotated[int, Field(ge=1024)] = Field(64_000_000, description="maximum size of a file")
    max_seconds: Annotated[float, Field(gt=0)] = Field(
        20.0, description="maximum time to decode a picture of your own; those of strangers get 4 seconds"
    )


class Preprocess(Section):
    """Raw pictures to the dataset."""

    cartoons: Literal["keep", "align"] = Field(
        "keep", description="keep: cartoons are portraits already; align: find, level and crop their faces too"
    )
    size: Literal[256, 512] = Field(256, description="side of the portraits, pixels")
    test_share: Share = Field(0.2, description="share of each domain held out for evaluation")
    test_list: str | None = Field(
        None, description="file that lists the held-out pictures, one stem a line; replaces test_share"
    )
    workers: Annotated[int, Field(ge=0)] = Field(0, description="processes; 0 means one per core")


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


class Train(Section):
    """One training run. The defaults are photo2cartoon's settings: days on one GPU."""

    recipe: Literal["unpaired", "paired"] = Field(
        "unpaired", description="unpaired: photo2cartoon's own; paired: from drawings of the photographs"
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
    betas: tuple[Share, Share] = Field((0.5, 0.999), strict=False, description="betas of Adam")
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
    threads: Annotated[int, Field(ge=0)] = Field(0, description="CPU threads; 0 means one per core")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one")
    loss: LossWeights = Field(LossWeights(), description="loss weights of the unpaired recipe")
    paired: Paired = Field(Paired(), description="loss weights and more of the paired recipe")

    @model_validator(mode="after")
    def _patience_has_a_score(self) -> Train:
        if self.patience and not self.score:
            raise ValueError("patience needs a score")
        return self


class Evaluate(Section):
    """Scores of every checkpoint."""

    photos: Literal["test", "all"] = Field(
        "test", description="test: the held-out photographs; all: every photograph, when there are few"
    )
    generator: Literal["ema", "raw"] = Field(
        "ema", description="ema: the averaged generators; raw: those of the last step"
    )
    batch: Positive = Field(8, description="images per forward pass")
    fid: bool = Field(True, description="compute true FID as well if Inception's weights are in the weights folder")


class Select(Section):
    """The choice among the checkpoints, and whether it becomes champion by itself."""

    metric: Metric | Annotated[tuple[Metric, ...], Field(strict=False)] = Field(
        "kernel_efficientnet",
        description="metric to select by, or several: the next one decides among checkpoints that the one before cannot"
        " tell apart; a single one is followed by identity_sface",
    )
    floors: dict[str, float] = Field(
        {}, description="worst value allowed, by metric, such as {identity_sface: 0.3, worst_identity_sface: 0.2}"
    )
    promote: Literal["better", "always", "ask"] = Field(
        "better",
        description="when the selected checkpoint takes the alias champion: if it is better than the champion on the same"
        " photographs, always, or when a person moves it",
    )
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = Field(
        "photo2cartoon", description="name of the registered model in MLflow"
    )
    max_seconds: Annotated[float, Field(gt=0)] | None = Field(
        2.0,
        description="seconds that a portrait of 256 px may take when a version is promoted, on the promoting machine; null: no"
        " limit",
    )

    @property
    def rank(self) -> tuple[str, ...]:
        """The metrics to select by, in order."""
        if not isinstance(self.metric, str):
            return self.metric
        return tuple(dict.fromkeys((self.metric, "identity_sface")))

    @model_validator(mode="after")
    def _something_decides(self) -> Select:
        if not self.rank:
            raise ValueError("metric is empty")
        return self


class Export(Section):
    """The ONNX graph, and how much it may differ from torch on real portraits, in levels of 0..255."""

    opset: Annotated[int, Field(ge=18, le=23)] = Field(18, description="ONNX operator set")
    variant: Literal["fp32", "fp16"] = Field(
        "fp32",
        description="arithmetic of the convolutions (norms stay fp32): fp16: half the size",
    )
    max_mean_difference: NonNegative | None = Field(
        None, description="maximum mean difference over all values; null: the variant's default"
    )
    max_difference: NonNegative | None = Field(
        None, description="maximum difference of any value; null: the variant's default"
    )
    portraits: Positive = Field(8, description="number of portraits on which torch and onnxruntime are compared")


class Rollout(Section):
    """What a canary has to hold to get all calls (`p2c promote --kserve NAME --canary 10`)."""

    min_calls: Positive = Field(50, description="calls that the canary has to answer in its window")
    max_failures: Share = Field(0.01, description="share of the calls that may fail")
    max_slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        1.5, description="95 percent of the calls may take this many times as long as the stable version's"
    )
    max_refused: Share = Field(
        0.05, description="share of the photographs that may be refused beyond the stable version's share"
    )


class Params(Section):
    """All of params.yaml."""

    profile: str = Field("default", description="named set of changes from `profiles`")
    assets: Assets = Assets()
    ingest: Ingest = Ingest()
    portrait: PortraitParams = PortraitParams()
    preprocess: Preprocess = Preprocess()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    select: Select = Select()
    export: Export = Export()
    rollout: Rollout = Rollout()
