"""`p2c cartoonize` handles a file or a folder, in torch or onnxruntime, and reports failures in one line."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from photo2cartoon.cartoonize.record import CartoonRow
from photo2cartoon.cartoonize.stills import Cartoonizer, cartoonize
from photo2cartoon.cartoonize.stylize import LoadedModel, ModelChoice, by_onnxruntime, by_torch
from photo2cartoon.checkpoint import copy_averages, load_generator
from photo2cartoon.errors import UserError
from photo2cartoon.export.graph import PortraitToCartoon
from photo2cartoon.importing.cartoon_weights import import_weights
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import decode_png, encode_png
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.serving.messages import BusyError
from photo2cartoon.tables import RowWriter, read_rows
from tests import original
from tests.conftest import ROOT
from tests.serving.conftest import tiny_graph


@pytest.fixture(scope="module")
def graph(trained, write_graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(PortraitToCartoon(load_generator(trained / "checkpoints/step-000004")), path, {}, 18)
    return path


def test_torch_and_onnxruntime_draw_the_same(graph, checkpoint, weights, hopper):
    maker = PortraitMaker.from_params(weights, PortraitParams())
    one, other = (
        decode_png(Cartoonizer(choice.load(), PortraitParams(), maker)(hopper)[0]).astype(int)
        for choice in (ModelChoice(checkpoint=checkpoint), ModelChoice(model=graph))
    )
    assert one.shape == (256, 256, 3) and one.std() > 5
    assert np.abs(one - other).max() <= 1


def test_a_checkpoint_of_averages_alone_is_named_after_what_draws(checkpoint, tmp_path):
    """As the pipeline hands it on; the mark of a cartoon has the hash of the generator that drew it."""
    copy_averages(checkpoint.parent.parent, tmp_path / "run")
    alone, whole = (
        ModelChoice(checkpoint=path).load().version for path in (tmp_path / "run/checkpoints/step-000004", checkpoint)
    )
    average = hashlib.sha256((checkpoint / "genA2B.average.safetensors").read_bytes()).hexdigest()
    assert alone == whole == f"step-000004 {average[:16]}"


@pytest.mark.slow
def test_photo2cartoons_own_graph_is_drawn_with_as_it_is(weights, hopper, p2c, tmp_path):
    """photo2cartoon's ONNX file (float `input`, `output`) matches its imported checkpoint and the original's script."""
    state = original.tensors(original.generator_shapes(8, 256))
    original.write_onnx(tmp_path / "own.onnx", state, 256, dynamo=False, opset_version=11)
    p2c("import-weights", "own.onnx", "--out", "imported")
    given = ("cartoonize", hopper, "--weights", weights, "--colour", 0)
    p2c(*given, "--model", "own.onnx", "--out", "own.png")
    p2c(*given, "--checkpoint", "imported", "--out", "torch.png")
    own, drawn = (cv2.imread(str(tmp_path / f"{name}.png")).astype(int) for name in ("own", "torch"))
    assert own.std() > 20 and np.abs(own - drawn).max() <= 1

    maker = PortraitMaker.from_params(weights, PortraitParams())
    portrait = maker(cv2.cvtColor(cv2.imread(str(hopper)), cv2.COLOR_BGR2RGB)).rgba
    face, mask = portrait[..., :3].astype(np.float64), portrait[..., 3:] / 255.0
    x = torch.from_numpy((face * mask + (1 - mask) * 255) / 127.5 - 1).permute(2, 0, 1)[None].float()
    cartoon = (original.generator(state, x)[0][0].permute(1, 2, 0).numpy() + 1) * 127.5
    script = (cartoon * mask + 255 * (1 - mask)).astype(np.uint8)[..., ::-1]
    # photo2cartoon's script truncates the output and does not round the network's input; ours rounds both.
    assert np.abs(script - own).max() <= 8 and np.abs(script - own).mean() < 1


@pytest.mark.parametrize("size", [128, pytest.param(192, marks=pytest.mark.slow)])
def test_photo2cartoons_own_graph_draws_as_its_import_does_at_every_size(weights, hopper, tmp_path, size):
    state = original.tensors(original.generator_shapes(4, size))
    original.write_onnx(tmp_path / "own.onnx", state, size, dynamo=False, opset_version=11)
    import_weights(tmp_path / "own.onnx", tmp_path / "imported")
    portrait = PortraitMaker.from_params(weights, PortraitParams())(decode(hopper)).rgba[None]
    own, drawn = (by(tmp_path / name)(portrait) for by, name in ((by_onnxruntime, "own.onnx"), (by_torch, "imported")))
    gap = np.abs(own.astype(int) - drawn)
    assert own.std() > 20 and gap.max() <= 1


def test_a_folder_keeps_its_shape_and_its_failures_are_named(p2c, graph, weights, hopper, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    shutil.copy(hopper, tmp_path / "in/deep/grace.jpg")
    (tmp_path / "in/bad.jpg").write_text("no picture")
    done = p2c("cartoonize", "in", "--model", graph, "--weights", weights, "--out", "out")
    assert done.stdout == f"out: 1 cartoon, drawn by {graph}; 1 failed\n"
    assert "in/bad.jpg: unreadable: not a picture of a known format" in done.stderr
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("out/**/*.*")}
    assert written == {"out/cartoons.csv", "out/deep/grace.png"}


def test_a_server_that_is_gone_ends_the_folder(tmp_path):
    """Three pictures in a row without an answer; the rest is not tried for a minute each."""
    (tmp_path / "in").mkdir()
    for number in range(9):
        cv2.imwrite(str(tmp_path / f"in/{number}.png"), np.full((64, 64, 3), number, np.uint8))
    tried = []

    def draw(source, _):
        tried.append(source.name)
        if len(tried) in (1, 2, 4, 5, 6):
            raise BusyError("Triton at 127.0.0.1:9: cannot be reached")
        if len(tried) == 3:
            raise PictureError("no face")  # the server has answered
        return [b"cartoon"]

    with pytest.raises(UserError, match=r"cannot be reached: so for 3 pictures in a row; the same call resumes"):
        cartoonize(tmp_path / "in", tmp_path / "out", draw)
    assert tried == [f"{number}.png" for number in range(6)]
    assert not list((tmp_path / "out").glob("*.png"))


def rows(folder):
    return {row.picture: row for row in read_rows(folder / "cartoons.csv", CartoonRow)}


def test_a_second_run_draws_what_is_new_and_every_file_has_a_row(p2c, graph, weights, hopper, group, tmp_path):
    """A cartoon that was marked after the first run shows whether it was drawn again."""
    given = ("cartoonize", "in", "--model", graph, "--weights", weights, "--out", "in/out", "--faces", "all")
    (tmp_path / "in").mkdir()
    shutil.copy(group, tmp_path / "in/group.png")
    shutil.copy(hopper, tmp_path / "in/grace.jpg")
    (tmp_path / "in/bad.jpg").write_text("no picture")
    (tmp_path / "in/notes.txt").write_text("a caption")
    os.mkfifo(tmp_path / "in/pipe.jpg")
    p2c(*given)
    first = rows(tmp_path / "in/out")
    assert {name: row.result for name, row in first.items()} == {
        "bad.jpg": "unreadable", "grace.jpg": "drawn", "group.png": "drawn", "notes.txt": "no picture",
        "pipe.jpg": "unreadable",
    }  # fmt: skip
    assert first["group.png"].cartoons == "group-1.png; group-2.png; group-3.png"
    for name in ("group-2.png", "grace-1.png"):
        (tmp_path / "in/out" / name).write_bytes(b"marked")
    shutil.copy(group, tmp_path / "in/grace.jpg")
    shutil.copy(hopper, tmp_path / "in/new.jpg")
    done = p2c(*given)
    assert done.stdout == (
        f"in/out: 7 cartoons, drawn by {graph}; 2 failed; 1 drawn before; no pictures: 1 (in/out/cartoons.csv)\n"
    )
    marked = [path.name for path in (tmp_path / "in/out").glob("*.png") if path.read_bytes() == b"marked"]
    assert marked == ["group-2.png"] and len(rows(tmp_path / "in/out")) == 6
    p2c(*given[:6], "--out", tmp_path / "in/out", *given[8:], "--colour", 0)
    assert len(rows(tmp_path / "in/out")) == 6 and (tmp_path / "in/out/group-2.png").read_bytes() != b"marked"


def test_rows_follow_the_folder_and_a_damaged_table_is_no_trouble(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), np.full((64, 64, 3), 9, np.uint8))
    cartoonize(tmp_path / "in", tmp_path / "out", lambda *_: [b"cartoon"], made_by="one")
    cv2.imwrite(str(tmp_path / "in/b.png"), np.full((64, 64, 3), 9, np.uint8))

    def refuse(*_):
        raise PictureError("no face")

    with pytest.raises(UserError, match="not one of 2 pictures could be drawn"):
        cartoonize(tmp_path / "in", tmp_path / "out", refuse, made_by="two")
    assert {name: row.result for name, row in rows(tmp_path / "out").items()} == {
        "a.png": "no face",
        "b.png": "no face",
    }
    (tmp_path / "out/cartoons.csv").write_text('picture,result\n"' + "x" * 200_000)
    cartoonize(tmp_path / "in", tmp_path / "out", lambda *_: [b"cartoon"], made_by="one")
    assert set(rows(tmp_path / "out")) == {"a.png", "b.png"}


def test_a_table_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "in").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"in/{name}.png"), np.full((64, 64, 3), 9, np.uint8))
    monkeypatch.setattr(RowWriter, "add", full)
    with pytest.raises(UserError, match=r"cartoons\.csv: cannot be written: No space left on device"):
        cartoonize(tmp_path / "in", tmp_path / "out", lambda *_: [b"cartoon"], made_by="one")


def test_a_run_that_was_killed_goes_on(tmp_path):
    for number in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{number}.png").write_bytes(bytes([number]))
    drawn = []

    def plain(photo, _):
        drawn.append(photo.stem)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return [encode_png(np.full((8, 8, 3), photo.read_bytes()[0], np.uint8))]

    with pytest.raises(KeyboardInterrupt):
        cartoonize(tmp_path / "in", tmp_path / "out", plain, made_by="one")
    assert list(rows(tmp_path / "out")) == ["0.png", "1.png", "2.png"]
    report = cartoonize(tmp_path / "in", tmp_path / "out", plain, made_by="one")
    assert drawn == ["0", "1", "2", "3", "3", "4", "5"] and len(report.written) == 6 and report.kept == 3
    assert list(rows(tmp_path / "out")) == [f"{number}.png" for number in range(6)]


def test_pictures_that_share_a_name_are_all_drawn(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    names = ("a.jpg", "a.png", "b.webp", "deep/a.jpg")
    for level, name in enumerate(names):
        (tmp_path / "in" / name).write_bytes(bytes([level]))

    def plain(photo, form):
        assert form == "png"
        return [encode_png(np.full((8, 8, 3), photo.read_bytes()[0], np.uint8))]

    assert cartoonize(tmp_path / "in", tmp_path / "out", plain).failed == []
    written = {
        path.relative_to(tmp_path / "out").as_posix(): names[cv2.imread(str(path))[0, 0, 0]]
        for path in tmp_path.glob("out/**/*.png")
    }
    assert written == {"a-jpg.png": "a.jpg", "a-png.png": "a.png", "b.png": "b.webp", "deep/a.png": "deep/a.jpg"}


def test_everybody_gets_a_file_or_a_place_in_the_photograph(p2c, graph, weights, group, hopper, tmp_path):
    given = ("--model", graph, "--weights", weights, "--faces", "all")
    done = p2c("cartoonize", group, *given, "--out", "out.webp", "--size", 512)
    assert done.stdout == f"out-1.webp to out-3.webp: drawn by {graph}\n"
    assert [Image.open(tmp_path / f"out-{number}.webp").size for number in (1, 2, 3)] == [(512, 512)] * 3
    (tmp_path / "in").mkdir()
    for path in (group, hopper):
        shutil.copy(path, tmp_path / "in")
    done = p2c("cartoonize", "in", *given, "--out", "folder")
    assert done.stdout == f"folder: 4 cartoons, drawn by {graph}\n"
    written = {path.name for path in (tmp_path / "folder").iterdir()}
    assert written - {"cartoons.csv"} == {"grace_hopper-1.png", "group-1.png", "group-2.png", "group-3.png"}

    p2c("cartoonize", group, *given, "--paste", "--out", "pasted.png")
    p2c("cartoonize", group, *given[:-2], "--paste", "--out", "largest.png")
    before, pasted, largest = (
        cv2.imread(str(path)).astype(int) for path in (group, tmp_path / "pasted.png", tmp_path / "largest.png")
    )
    for portrait in PortraitMaker.from_weights(weights).all_of(Photograph(group)):
        left, top, right, bottom = portrait.box
        face = np.s_[top:bottom, left:right]
        drawn = [np.abs(picture - before)[face].mean() > 10 for picture in (pasted, largest)]
        assert drawn == [True, left < 530]


def test_a_pasted_head_is_as_sharp_as_the_photograph(weights, hopper):
    """A head of 740 pixels is drawn with as many, and comes back nearly as sharp as it was; drawn at 256 it does not."""
    rgb = cv2.resize(decode(hopper), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    rgb = cv2.addWeighted(rgb, 2, cv2.GaussianBlur(rgb, (0, 0), 3), -1, 0)
    photo = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    model = LoadedModel("as it is", lambda portraits, _: on_white(portraits))
    maker = PortraitMaker.from_params(weights, PortraitParams())
    left, top, right, bottom = maker.of(Photograph(photo)).box

    def sharpness(picture):
        return cv2.Laplacian(cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY), cv2.CV_64F).std()

    sharp = []
    for size in (None, 256):
        (pasted,) = Cartoonizer(model, PortraitParams(), maker, DrawOptions(size=size, paste=True))(photo)
        sharp.append(sharpness(decode_png(pasted)) / sharpness(rgb))
    assert sharp[0] > 0.7 > 0.5 > sharp[1]


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_sticker(p2c, graph, weights, hopper, tmp_path, suffix):
    given = ("cartoonize", hopper, "--model", graph, "--weights", weights)
    p2c(*given, "--out", f"sticker.{suffix}", "--background", "transparent")
    alpha = np.asarray(Image.open(tmp_path / f"sticker.{suffix}"))[..., 3]
    portrait = PortraitMaker.from_weights(weights).of(Photograph(hopper)).rgba
    assert np.abs(alpha.astype(int) - portrait[..., 3]).max() <= 1
    for options, said in (
        (
            ("--out", "a.jpg", "--background", "transparent"),
            "a.jpg: JPEG has no transparency; choose PNG or WebP",
        ),
        (("--out", "a.png", "--background", "beidge"), "background 'beidge': is none of white"),
        (("--out", "a.png", "--background", "red", "--paste"), "a pasted cartoon keeps the photograph's background"),
        (("--out", "a.png", "--faces", "both"), "faces 'both': expected largest or all"),
        (("--out", "a.png", "--size", 300), "size 300: expected 256 or 512"),
        (("--out", "a.png", "--colour", 1.5), "colour 1.5: is not from 0 (the style's own) to 1 (the photograph's)"),
    ):
        done = p2c(*given, *options, code=1)
        assert done.stderr.startswith(f"p2c: {said}") and len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {f"sticker.{suffix}"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_name_decides_the_format(p2c, graph, weights, hopper, tmp_path, suffix):
    p2c("cartoonize", hopper, "--model", graph, "--weights", weights, "--out", f"out.{suffix}")
    head = (tmp_path / f"out.{suffix}").read_bytes()[:12]
    assert {"png": b"PNG", "jpg": b"\xff\xd8\xff", "webp": b"WEBP"}[suffix] in head


def test_what_cannot_be_done_is_a_sentence(p2c, graph, weights, hopper, tmp_path):
    (tmp_path / "bad.onnx").write_text("no graph")
    (tmp_path / "empty").mkdir()
    shutil.copytree(ROOT / "triton_repo/photo2cartoon", tmp_path / "repository/generator")
    given = ["--weights", weights, "--repository", "repository", "--out", "out.png"]
    for arguments, reason in (
        # Before a model is loaded.
        (["nowhere.jpg", "--model", "nowhere.onnx"], "nowhere.jpg: no such picture or folder"),
        (["empty", "--model", graph], "empty: holds no pictures"),
        ([hopper, "--model", "nowhere.onnx"], "nowhere.onnx: no such model"),
        ([hopper, "--model", "bad.onnx"], "bad.onnx: not a readable ONNX graph"),
        (
            [hopper, "--model", graph, "--server", "127.0.0.1:1"],
            "cartoonize: --checkpoint, --model and --server exclude",
        ),
        ([hopper, "--checkpoint", "empty"], "empty/checkpoint.json: no such file; this folder is not a checkpoint"),
    ):
        done = p2c("cartoonize", *arguments, *given, code=1)
        assert done.stderr.startswith(f"p2c: {reason}"), done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = p2c("cartoonize", hopper, "--model", graph, "--weights", weights, "--out", "out.txt", code=1)
    assert done.stderr == "p2c: out.txt: name ends in '.txt', expected .png, .jpg, .jpeg, .webp\n"
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", ["cartoonize", "portrait"])
def test_photographs_are_not_replaced(p2c, weights, hopper, tmp_path, command):
    (tmp_path / "mine").mkdir()
    photo = Path(shutil.copy(hopper, tmp_path / "mine/me.png"))
    before = photo.read_bytes()
    for source, out in (("mine/me.png", "mine"), ("mine/me.png", "mine/me.png"), ("mine", "mine")):
        reason = "which would be replaced; name another"
        if command == "portrait" and out == source != "mine":
            reason = "is a file; portraits go to a folder"
        done = p2c(command, source, "--out", out, "--weights", weights, code=1)
        assert reason in done.stderr and len(done.stderr.splitlines()) == 1
    assert photo.read_bytes() == before and [path.name for path in (tmp_path / "mine").iterdir()] == ["me.png"]


def test_no_other_photograph_is_replaced_either(p2c, graph, weights, hopper, tmp_path):
    """By the numbers of several faces, by a name that a folder gets, or by a folder inside another."""
    given = ("--weights", weights, "--model", graph)
    (tmp_path / "all/one").mkdir(parents=True)
    photos = [Path(shutil.copy(hopper, tmp_path / name)) for name in ("me-1.png", "all/me.png", "all/one/me.png")]
    before = [photo.read_bytes() for photo in photos]
    for arguments, reason in (
        (("me-1.png", "--faces", "all", "--out", "me.png"), "me-1.png: is the photograph itself"),
        (("me-1.png", "--out", "all/me-1.png"), None),
        (("me-1.png", "--out", "all"), None),  # a cartoon that is drawn again
        (("all/one/me.png", "--out", "all"), "all/me.png: is there already, and no cartoon; name the file to replace"),
        (("all/one", "--out", "all"), "all: holds the photographs, which would be replaced"),
    ):
        done = p2c("cartoonize", *arguments, *given, code=int(reason is not None))
        assert reason is None or done.stderr.splitlines()[-1].startswith(f"p2c: {reason}"), done.stderr
    for _ in range(2):  # portraits have no mark, and are made again
        p2c("portrait", "me-1.png", "--out", "portraits", "--weights", weights)
    assert [photo.read_bytes() for photo in photos] == before


def test_a_folder_does_not_hide_the_bundled_model_of_its_name(p2c, weights, hopper, tmp_path):
    for name in ("full", "slim"):
        (tmp_path / name).mkdir()
    for model in ((), ("--model", "slim"), ("--checkpoint", "slim")):
        p2c("cartoonize", hopper, *model, "--weights", weights, "--out", "cartoon.png")
        assert f"photo2cartoon {'slim' if model else 'full'} " in p2c("verify", "cartoon.png").stdout


def test_a_graph_of_another_kind_is_a_sentence(tmp_path):
    def graph(name, shape):
        ends = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape) for end in ("input", "output")]
        node = onnx.helper.make_node("Identity", ["input"], ["output"])
        drawn = onnx.helper.make_graph([node], "same", ends[:1], ends[1:])
        opset = onnx.helper.make_opsetid("", 18)
        onnx.save(onnx.helper.make_model(drawn, ir_version=10, opset_imports=[opset]), str(tmp_path / name))
        return tmp_path / name

    portraits = np.full((1, 256, 256, 4), 255, np.uint8)
    assert (by_onnxruntime(graph("same.onnx", [1, 3, 256, 256]))(portraits, 0) == 255).all()
    for shape in ([1, "H", "W", 3], [1, 1, 256, 256], None):
        with pytest.raises(UserError, match=r"other\.onnx: its 'input' has the shape"):
            by_onnxruntime(graph("other.onnx", shape))
    with pytest.raises(UserError, match=r"small\.onnx: cannot draw: .*invalid dimensions"):
        by_onnxruntime(tiny_graph(tmp_path, 1, size=64).rename(tmp_path / "small.onnx"))(portraits)


def test_weights_are_fetched_whenever_portraits_are_cut_here(p2c, weights, hopper, tmp_path):
    """The server crops photographs itself; of videos the client crops the frames and needs the weights."""
    import av

    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    for arguments, reason, cut_here in (
        ([hopper, "--out", "a.png"], "Triton at 127.0.0.1:1: ", False),
        ([hopper, "--out", "a.png", "--paste"], "Triton at 127.0.0.1:1: ", False),
        (["film.mp4", "--out", "a.mp4"], "Triton at 127.0.0.1:1: ", True),
    ):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        own = {"P2C_WEIGHTS": str(weights), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = p2c("cartoonize", *arguments, "--server", "127.0.0.1:1", code=1, **own)
        assert done.stderr.splitlines()[-1].startswith(f"p2c: {reason}"), done.stderr
        assert (tmp_path / "cache/photo2cartoon/weights/selfie_segmentation.tflite").exists() == cut_here


def test_two_choices_at_once(graph, checkpoint):
    with pytest.raises(UserError, match="exclude"):
        ModelChoice(checkpoint, graph)


def test_settings_that_a_server_would_ignore_are_refused(p2c, hopper, tmp_path):
    """Portrait settings of a file named with `--params` are refused, because the server has its own."""
    (tmp_path / "mine.yaml").write_text("portrait: {detector: mmod, max_bytes: 2000}")
    given = ("cartoonize", hopper, "--server", "127.0.0.1:1", "--out", "a.png")
    told = p2c(*given, "--params", "mine.yaml", code=1).stderr
    assert told.startswith("p2c: mine.yaml: portrait.detector would be ignored") and len(told.splitlines()) == 1
    (tmp_path / "mine.yaml").rename(tmp_path / "params.yaml")
    first, last = p2c(*given, code=1).stderr.splitlines()
    assert first.endswith("portrait.detector of params.yaml is not used")
    assert "at most 2000 are read" in last  # max_bytes still applies on the client


def test_a_video_goes_the_same_way(weights, graph, hopper, p2c, tmp_path):
    """The command stylizes a two-second video of a still face; an output name without a video suffix is refused."""
    import av

    rgb = cv2.resize(cv2.cvtColor(cv2.imread(str(hopper)), cv2.COLOR_BGR2RGB), (320, 376))
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 376, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    given = ("--model", graph, "--weights", weights)
    done = p2c("cartoonize", "film.mp4", *given, "--out", "cartoon.mp4")
    assert done.stdout == f"cartoon.mp4: 10 of 10 frames drawn by {graph}, 2.0 s; sound none\n"
    p2c("cartoonize", "film.mp4", *given, "--paste", "--out", "pasted.webm")
    for name, size in (("cartoon.mp4", (256, 256)), ("pasted.webm", (320, 376))):
        with av.open(str(tmp_path / name)) as container:
            frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert frames == [size] * 10
    told = p2c("cartoonize", "film.mp4", *given, "--out", "cartoon.png", code=1).stderr
    assert told == "p2c: cartoon.png: name ends in '.png', known for videos are .mp4, .mov, .mkv, .webm\n"
