"""The page for human judgement: a photograph, two drawings, two buttons. Contacts no other machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from photo2cartoon.evaluation.judge import Session

if TYPE_CHECKING:
    import gradio

Shown = tuple[np.ndarray, np.ndarray, np.ndarray, str, int]  # three pictures, the count of votes, the question's number
INTRODUCTION = (
    "# Which drawing is better?\nLook at the photograph, then choose the drawing that you would rather get: the same person,"
    " as a cartoon. The sides are random. There is no right answer."
)


def build(session: Session, pictures: Mapping[str, Mapping[str, np.ndarray]]) -> gradio.Blocks:
    """Build the page.

    Args:
        session: the questions and votes.
        pictures: uint8 `[S, S, 3]`; the photographs under `""` and each model's drawings under its name, by photograph.
    """
    import gradio

    def show() -> Shown:
        trial = session.next()
        each = (pictures[""][trial.photo], pictures[trial.left][trial.photo], pictures[trial.right][trial.photo])
        return *each, f"{len(session.votes)} votes so far", trial.number

    def chosen(left: bool) -> Callable[[int], Shown]:
        def vote(number: int) -> Shown:
            session.vote(session.trial(int(number)), left)
            return show()

        return vote

    with gradio.Blocks(title="Which drawing is better?", analytics_enabled=False) as page:
        gradio.Markdown(INTRODUCTION)
        number = gradio.Number(visible=False)
        with gradio.Row():
            photo = gradio.Image(label="Photograph", interactive=False, height=320, buttons=[])
        with gradio.Row():
            sides = [gradio.Image(label=side, interactive=False, height=320, buttons=[]) for side in ("Left", "Right")]
        with gradio.Row():
            buttons = [gradio.Button(f"{side} is better", variant="primary") for side in ("Left", "Right")]
        count = gradio.Markdown()
        shown = [photo, *sides, count, number]
        page.load(show, outputs=shown, api_name="show")
        for button, left in zip(buttons, (True, False), strict=True):
            button.click(chosen(left), [number], shown, api_name="left" if left else "right")
    return page.queue(default_concurrency_limit=1)
