"""Web page to try the models: a photograph in, a cartoon out. It neither loads from nor sends to other sites."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from photo2cartoon import pretrained
from photo2cartoon.cartoonize.page_server import serve
from photo2cartoon.cartoonize.stills import Cartoonizer
from photo2cartoon.cartoonize.stylize import LoadedModel, ModelChoice
from photo2cartoon.errors import UserError
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import PictureError, PortraitMaker
from photo2cartoon.portrait.background import COLOUR, PHOTOGRAPH, TRANSPARENT, WHITE
from photo2cartoon.portrait.decode import COMMON_SUFFIXES
from photo2cartoon.portrait.maker import SIZE, SIZES
from photo2cartoon.portrait.options import ALL, LARGEST, DrawOptions
from photo2cartoon.portrait.sandbox import Sandbox
from photo2cartoon.serving.repository import list_versions

if TYPE_CHECKING:
    import gradio

PORTRAIT, IN_PLACE = "Portrait", "In the photograph"
KEPT_SECONDS = 3600  # lifetime of uploads and cartoons
WAITING = 32  # queue length; further people are asked to come back
AT_ONCE = 4  # concurrent requests to a server; local models run one at a time
EXAMPLES = 6


@dataclass
class DemoModels:
    """Models that the page offers.

    Args:
        choices: models by the name that the page shows; the first is the default.
        maker: makes portraits.
        portrait: the `portrait` section of params.yaml.

    Photographs are decoded in a process of its own, as people may upload anything; with a server, there.
    """

    choices: dict[str, ModelChoice]
    maker: PortraitMaker
    portrait: PortraitParams
    decoder: Sandbox = field(default_factory=Sandbox)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loaded: dict[str, LoadedModel] = field(default_factory=dict)

    @property
    def remote(self) -> bool:
        """Whether a server makes the cartoons."""
        return any(choice.server for choice in self.choices.values())

    def load(self, name: str) -> LoadedModel:
        """Return a model, loading it on first use.

        Raises:
            UserError: there is no model of that name, or it cannot be read.
        """
        if name not in self.choices:
            raise UserError(f"{name}: no such model; there are {', '.join(self.choices)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self.choices[name].load()
            return self._loaded[name]

    def cartoonize(self, photo: Path, name: str, options: DrawOptions) -> list[bytes]:
        """Make the cartoons of a photograph.

        Args:
            photo: an encoded image.
            name: name of the model.
            options: faces, size, background, colours, pasting.

        Returns:
            PNG files, as of `Cartoonizer`.

        Raises:
            PictureError: no portrait can be made from the photograph.
            UserError: the model is unknown, or the server does not answer.
        """
        model = self.load(name)
        maker = None if model.client else self.maker
        return Cartoonizer(model, self.portrait, maker, options, self.decoder)(photo)


def offer_models(choice: ModelChoice, weights: Path, portrait: PortraitParams) -> DemoModels:
    """Offer the named model only, or else the newest promoted version and all of the project's own models.

    Args:
        choice: names a model, or only the repository of promoted versions.
        weights: folder that the `assets` stage filled.
        portrait: the `portrait` section of params.yaml.

    Raises:
        UserError: the default cannot be loaded.
    """
    named = next((path.name for path in (choice.checkpoint, choice.model) if path), None)
    if named or choice.server:
        choices = {named or f"Triton at {choice.server}": choice}
    else:
        promoted = {f"version {version}, promoted": choice for version in list_versions(choice.repository)[-1:]}
        own = (pretrained.DEFAULT, *(name for name in pretrained.names() if name != pretrained.DEFAULT))
        choices = promoted | {name: replace(choice, model=Path(name)) for name in own}
    models = DemoModels(choices, PortraitMaker.from_params(weights, portrait), portrait)
    models.load(next(iter(choices)))
    return models


def build(models: DemoModels, examples: Path | None = None) -> gradio.Blocks:
    """Build the page.

    Args:
        models: models that it offers.
        examples: a folder whose first images are offered as examples.
    """
    import gradio

    names = list(models.choices)
    tried = sorted(path for path in examples.iterdir() if path.suffix.lower() in COMMON_SUFFIXES) if examples else []
    with gradio.Blocks(title="photo2cartoon", analytics_enabled=False, delete_cache=(600, KEPT_SECONDS)) as page:
        gradio.Markdown(
            "# photo2cartoon\nA photograph of people becomes cartoons of the same people. "
            "They are drawn on the machine that shows this page, which deletes it after about an hour."
        )
        with gradio.Row():
            with gradio.Column():
                controls = _add_controls(names)
            shown: dict[str, Any] = {
                "format": "png",
                "height": 400,
                "interactive": False,
                "buttons": ["download", "fullscreen"],
            }
            cartoon = gradio.Image(label="Cartoon", image_mode="RGBA", **shown)
            cartoons = gradio.Gallery(label="Cartoons", visible=False, columns=3, **shown)
        if tried:
            gradio.Examples([[str(path)] for path in tried[:EXAMPLES]], [controls.photo], label="Photographs to try")
        # A new photograph or a changed setting needs no second click.
        changes = [controls.photo.change, *(each.input for each in controls[1:-1]), controls.colour.release]
        gradio.on(
            changes,
            partial(_cartoonize, models, cartoon.GRADIO_CACHE),
            list(controls),
            [cartoon, cartoons],
            concurrency_limit=AT_ONCE if models.remote else 1,
            api_name="cartoonize",
        )
    return page.queue(max_size=WAITING)


class _Controls(NamedTuple):
    """What a visitor chooses, in the order of `_cartoonize`'s arguments."""

    photo: gradio.Image
    model: gradio.Dropdown
    show: gradio.Radio
    everybody: gradio.Checkbox
    size: gradio.Radio
    background: gradio.Dropdown
    colour: gradio.Slider


def _add_controls(names: list[str]) -> _Controls:
    """Add the controls to the page that is being built, for models of these names."""
    import gradio

    photo = gradio.Image(
        label="Photograph", type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=400
    )
    # Pass the file on unchanged: `portrait.decode` decides what may be decoded, and how.
    photo.preprocess = _path_of  # type: ignore[method-assign]  # no subclass: Gradio names it
    with gradio.Row():
        show = gradio.Radio([PORTRAIT, IN_PLACE], value=PORTRAIT, label="Show")
        everybody = gradio.Checkbox(label="Everybody in it", info="else the largest face")
    with gradio.Row():
        size = gradio.Radio(list(SIZES), value=SIZE, label="Portrait's size in pixels")
        colour = gradio.Slider(0, 1, COLOUR, step=0.05, label="Colours: the style's or the photograph's")
        background = gradio.Dropdown(
            [WHITE, TRANSPARENT, PHOTOGRAPH],
            value=WHITE,
            label="Portrait's background, or a colour",
            allow_custom_value=True,
        )
        model = gradio.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
    return _Controls(photo, model, show, everybody, size, background, colour)


def _path_of(payload: Any) -> str | None:
    return payload and payload.path


def _cartoonize(
    models: DemoModels,
    cache: str,
    photo: str | None,
    model: str,
    show: str,
    everybody: bool,
    size: int,
    background: str,
    colour: float,
) -> tuple[gradio.Image, gradio.Gallery]:
    """Draw with a visitor's choices: one cartoon as an image, several as a gallery, files of Gradio's `cache`."""
    import gradio

    if not photo:
        return gradio.Image(None, visible=True), gradio.Gallery(None, visible=False)
    try:
        paste, faces = show == IN_PLACE, ALL if everybody else LARGEST
        options = DrawOptions(faces, None if paste else size, WHITE if paste else background, colour, paste)
        drawn = models.cartoonize(Path(photo), model, options)
    except PictureError as error:
        raise gradio.Error(_advice(error), title="No cartoon of this one", print_exception=False) from None
    except (UserError, OSError) as error:
        raise gradio.Error(str(error), title="Cannot draw just now", print_exception=False) from None
    # Files, not arrays: Gradio would encode arrays itself, without the mark.
    files = [gradio.processing_utils.save_bytes_to_cache(png, "cartoon.png", cache) for png in drawn]
    several = len(files) > 1
    gallery = gradio.Gallery(files if several else None, visible=several)
    return gradio.Image(None if several else files[0], visible=not several), gallery


def run(
    models: DemoModels,
    examples: Path | None,
    host: str,
    port: int,
    ready: Callable[[str], None],
    names: Sequence[str] = (),
) -> None:
    """Serve the page until the process is asked to end, then delete everything that people uploaded.

    Args:
        models: models that it offers.
        examples: a folder whose first images are offered as examples.
        host, port: address to listen on.
        ready: called with the page's address once it answers.
        names: host names that it answers to, as for `page_server.serve`.

    Raises:
        UserError: the port is taken.
    """
    limit = models.portrait.max_bytes
    serve(lambda: build(models, examples), host, port, ready, names, max_file_size=limit, footer_links=["api"])


def _advice(error: PictureError) -> str:
    """Explain in plain words what went wrong and what to try."""
    ways_out = {
        "no face": "No face was found. Try one where the face looks at the camera, is lit, and not covered.",
        "too small": f"The face or the picture is too small ({error.detail}). Try a larger one.",
        "too large": f"The picture is too large: {error.detail}.",
        "too slow": "This file takes too long to read. Try to save it as JPEG or PNG.",
        "unreadable": f"This file cannot be read as a picture: {error.detail}.",
    }
    return ways_out.get(error.reason, str(error))
