"""Makes the images in this folder. Rules select what is shown; nothing is picked by hand.

    python docs/pictures/make.py [--data DATA]

- `four.jpg`: four people of the built-in sample as portraits, with the cartoons that the default model makes of them: the two
  in the public domain (NASA's photograph of Eileen Collins, the US Navy's of Grace Hopper), and the first man and the first
  woman of the synthetic people.
- `portrait-debug.jpg`: how the portrait of Eileen Collins was made.
- `options.jpg`: both in one photograph; everybody pasted; one on a colour, one on the photograph's background, at 512 px.
- `style.jpg` is not made here: rows of the contact sheets that `p2c measure --photographs` wrote of the project in
  docs/tutorials/style.md, below eight of its cartoons.
- With a dataset that holds the held-out photographs (docs/reference/model-card.md), `MODEL-without-drawing.jpg`: 32 of the
  worldwide photographs (CC0), at equal distances by name, and their cartoons; and `MODEL-with-drawing.jpg`: cartoons alone,
  because the photographs that have drawings come without a licence.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import skimage

from photo2cartoon import pretrained
from photo2cartoon.assets.collect import collect
from photo2cartoon.cartoonize.stills import Cartoonizer
from photo2cartoon.cartoonize.stylize import LoadedModel, by_onnxruntime
from photo2cartoon.dataset.faces import load_pairs
from photo2cartoon.dataset.sample import photographs
from photo2cartoon.evaluation.measure import SHOWN, SIDE, measure
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import decode_png
from photo2cartoon.portrait import Photograph, PortraitMaker
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.debug import explain
from photo2cartoon.portrait.options import DrawOptions

HERE = Path(__file__).parent
PUBLIC_DOMAIN = (
    Path(skimage.__file__).parent / "data/astronaut.png",
    Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg",
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--weights", type=Path, default=Path("weights"))
parser.add_argument("--data", type=Path)
given = parser.parse_args()

draws = {name: by_onnxruntime(pretrained.graph(name)) for name in pretrained.names()}
maker = PortraitMaker.from_weights(given.weights)
photos = [Photograph(path) for path in PUBLIC_DOMAIN]
made_of = [maker.of(photo) for photo in photos]
portraits = [each.rgba for each in made_of]
shown = cv2.cvtColor(explain(photos[0].rgb, made_of[:1]), cv2.COLOR_RGB2BGR)
cv2.imwrite(str(HERE / "portrait-debug.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 85])

synthetic = [next(each for each in photographs() if each.what.startswith(f"{who},")) for who in ("man", "woman")]
with tempfile.TemporaryDirectory() as folder:
    collect(Path(folder), assets=synthetic, label="photographs")
    four = np.stack([*portraits, *(maker.of(Photograph(Path(folder) / each.file)).rgba for each in synthetic)])
shown = np.vstack([np.hstack(list(on_white(four))), np.hstack(list(draws[pretrained.DEFAULT](four)))])
cv2.imwrite(str(HERE / "four.jpg"), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])

both = np.hstack([photos[0].rgb, photos[1].rgb[44:556]])
together = cv2.imencode(".png", cv2.cvtColor(both, cv2.COLOR_RGB2BGR))[1].tobytes()
model = LoadedModel(pretrained.DEFAULT, draws[pretrained.DEFAULT])
pasted, on_colour, on_photograph = (
    [decode_png(png) for png in Cartoonizer(model, PortraitParams(), maker, options)(together)]
    for options in (
        DrawOptions("all", paste=True),
        DrawOptions("all", 512, "skyblue"),
        DrawOptions("all", 512, "photograph"),
    )
)
shown = np.hstack([both, pasted[0], on_colour[0], on_photograph[1]])
shown = cv2.resize(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
cv2.imwrite(str(HERE / "options.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 88])

if given.data:
    drawn = len(load_pairs(given.data, "test", SIDE)[0])
    with tempfile.TemporaryDirectory() as folder:
        measure(draws, given.data, given.weights, Path(folder) / "out", photographs=True)
        for sheet in (Path(folder) / "out").glob("*.png"):
            shown = cv2.imread(str(sheet))
            if sheet.stem.endswith("-with-drawing"):  # rows of photographs, of the teacher's drawings, of cartoons
                rows = np.split(shown, 3 * -(-min(SHOWN, drawn) // 8))
                shown = np.vstack(rows[2::3])
            cv2.imwrite(str(HERE / f"{sheet.stem}.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 85])
        print((Path(folder) / "out/measures.md").read_text())
