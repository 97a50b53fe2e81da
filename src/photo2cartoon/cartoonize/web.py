"""The page on which people try it: a photograph in, a cartoon out. Nothing it shows comes from, or goes to, another place."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from photo2cartoon import pretrained
from photo2cartoon.cartoonize.drawing import Draw, make_draw
from photo2cartoon.cartoonize.stills import draw_photo
from photo2cartoon.errors import UserError
from photo2cartoon.params import Portrait as PortraitParams
from photo2cartoon.portrait import PictureError, PortraitMaker
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.repository import list_versions

if TYPE_CHECKING:
    import gradio

PORTRAIT, IN_PLACE = "Portrait", "In the photograph"
KEPT_SECONDS = 3600  # uploads and drawings
WAITING = 32  # more people than that are told to come back
AT_ONCE = 4  # what a server is asked at the same time; here, one after another
EXAMPLES = 6


@dataclass
class Studio:
    """What the page can draw with.

    Args:
        makers: how each model that can be chosen is loaded, by the name the page shows; the first is the default.
        maker: makes portraits.
        portrait: the section of params.yaml.
        client: a server that draws instead, with what it has.
    """

    makers: dict[str, Callable[[], Draw]]
    maker: PortraitMaker
    portrait: PortraitParams
    client: Client | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _draws: dict[str, Draw] = field(default_factory=dict)

    def load(self, model: str) -> Draw:
        """A model, read when it is first asked for."""
        with self._lock:
            if model not in self._draws:
                self._draws[model] = self.makers[model]()
            return self._draws[model]

    def draw(self, photo: Path, model: str, in_place: bool) -> np.ndarray:
        """Draw a photograph.

        Args:
            photo: an encoded picture.
            model: a name among `makers`.
            in_place: the whole photograph with the cartoon's head in it.

        Returns:
            uint8 `[H, W, 3]`; a portrait is 256x256.

        Raises:
            PictureError: no portrait can be made of it.
            UserError: the model is unknown, or the server does not answer.
        """
        if photo.stat().st_size > self.portrait.max_bytes:
            raise PictureError("too large", f"at most {self.portrait.max_bytes} bytes are read")
        if self.client and not in_place:
            png = self.client.cartoonize(photo.read_bytes())
        elif model not in self.makers:
            raise UserError(f"{model}: no such model; there are {', '.join(self.makers)}")
        else:
            png = draw_photo(photo.read_bytes(), self._portrait_of, self.load(model), self.portrait, in_place)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def _portrait_of(self, rgb: np.ndarray):
        with self._lock:  # dlib's objects are not made to be shared
            return self.maker(rgb)


def make_studio(
    checkpoint: Path | None,
    model: Path | None,
    server: str | None,
    weights: Path,
    portrait: PortraitParams,
    repository: Path | str,
) -> Studio:
    """What is named alone, or else everything there is: the newest promoted version and the project's own models.

    Args:
        checkpoint, model, server: see `drawing.make_draw`; at most one.
        weights: folder that the `assets` stage filled.
        portrait: the section of params.yaml.
        repository: where promoted versions lie.

    Raises:
        UserError: what is named cannot be used.
    """
    named = next((choice.name for choice in (checkpoint, model) if choice), None)
    if named or server:
        choices = {named or f"Triton at {server}": (checkpoint, model, server)}
    else:
        promoted = [f"version {version}, promoted" for version in list_versions(repository)[-1:]]
        own = (pretrained.DEFAULT, *(name for name in pretrained.names() if name != pretrained.DEFAULT))
        choices = dict.fromkeys(promoted, (None, None, None)) | {name: (None, Path(name), None) for name in own}
    makers = {name: lambda how=how: make_draw(*how, repository) for name, how in choices.items()}
    maker = PortraitMaker.from_params(weights, portrait)
    studio = Studio(makers, maker, portrait, Client(server) if server else None)
    studio.load(next(iter(makers)))
    return studio


def build(studio: Studio, examples: Path | None = None) -> gradio.Blocks:
    """The page.

    Args:
        studio: draws.
        examples: a folder; its first pictures are offered to be tried.
    """
    import gradio

    def draw(photo: str | None, model: str, show: str) -> np.ndarray | None:
        if not photo:
            return None
        try:
            return studio.draw(Path(photo), model, show == IN_PLACE)
        except PictureError as error:
            raise gradio.Error(_advice(error), title="No cartoon of this one", print_exception=False) from None
        except (UserError, OSError) as error:
            raise gradio.Error(str(error), title="Cannot draw just now", print_exception=False) from None

    names = list(studio.makers)
    tried = sorted(path for path in examples.iterdir() if path.suffix.lower() in SUFFIXES) if examples else []
    with gradio.Blocks(title="photo2cartoon", analytics_enabled=False, delete_cache=(600, KEPT_SECONDS)) as page:
        gradio.Markdown(
            "# photo2cartoon\nA photograph of somebody's face becomes a cartoon of the same person. The largest face is taken. "
            "It is drawn on the machine that shows this page, which forgets it within the hour."
        )
        with gradio.Row():
            with gradio.Column():
                photo = gradio.Image(
                    label="Photograph",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "webcam", "clipboard"],
                    height=400,
                )
                # The file goes on as it came: what may be decoded, and how, is for `portrait.decode` to say.
                photo.preprocess = lambda given: given and given.path
                with gradio.Row():
                    show = gradio.Radio([PORTRAIT, IN_PLACE], value=PORTRAIT, label="Show")
                    model = gradio.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
            cartoon = gradio.Image(
                label="Cartoon", format="png", height=400, interactive=False, buttons=["download", "fullscreen"]
            )
        if tried:
            gradio.Examples([[str(path)] for path in tried[:EXAMPLES]], [photo], label="Photographs to try")
        # A new photograph, or another wish for the one that is there, needs no second click.
        gradio.on(
            [photo.change, show.input, model.input],
            draw,
            [photo, model, show],
            cartoon,
            concurrency_limit=AT_ONCE if studio.client else 1,
            api_name="cartoonize",
        )
    return page.queue(max_size=WAITING)


def run(studio: Studio, examples: Path | None, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is told to end; then nothing is left of what people brought.

    Args:
        studio: draws.
        examples: a folder; its first pictures are offered to be tried.
        host, port: where to listen.
        ready: told the page's address once it answers.

    Raises:
        UserError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="photo2cartoon-web-") as kept:
        os.environ |= {"GRADIO_TEMP_DIR": kept, "GRADIO_ANALYTICS_ENABLED": "False"}
        import gradio

        page = build(studio, examples)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                show_error=True,
                prevent_thread_lock=True,
                max_file_size=studio.portrait.max_bytes,
                footer_links=["api"],
                run_history=False,
                ssr_mode=False,
                theme=gradio.themes.Base(),
            )
        except OSError as error:
            raise UserError(f"port {port} on {host} cannot be used ({error}); choose another with --port") from None
        try:
            ready(address)
            page.block_thread()
        finally:
            page.close(verbose=False)


def _advice(error: PictureError) -> str:
    """What went wrong, and what to try, in a person's words."""
    ways_out = {
        "no face": "No face was found. Try one where the face looks at the camera, is lit, and not covered.",
        "too small": f"The face or the picture is too small ({error.detail}). Try a larger one.",
        "too large": f"The picture is too large: {error.detail}.",
        "unreadable": f"This file cannot be read as a picture: {error.detail}.",
    }
    return ways_out.get(error.reason, str(error))
