"""One call draws what the checkpoint draws, in every way that a caller can choose, and refuses bad input clearly."""

import asyncio
import io
import math
import time
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from PIL import Image

from photo2cartoon.cartoonize.stills import Cartoonizer
from photo2cartoon.cartoonize.stylize import ModelChoice, by_torch
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PictureError, decode
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.provenance.mark import Mark, read_packet
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.call import MOST_BYTES, Admitted, Call
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.messages import ServerError
from photo2cartoon.serving.repository import list_versions, promote
from photo2cartoon.serving.slots import LEASE_SECONDS
from photo2cartoon.tracking import aliases
from tests.conftest import noise
from tests.serving.conftest import MODEL, in_process, levels


def test_one_call_draws_what_the_checkpoint_draws(server, versions, maker, hopper, astronaut):
    aliases.set_champion("served", versions[0][0])
    promote(server.repository, MODEL, server.grpc)
    for photo in (hopper, astronaut):
        served = levels(Client(server.grpc).cartoonize(photo.read_bytes())[0].cartoon)
        assert served.shape == (256, 256, 3)
        assert np.abs(served - in_process(maker, versions[0][1], photo)).max() <= 1


def test_a_head_drawn_by_the_server_goes_back_into_the_photograph(server, weights, hopper, p2c, tmp_path):
    """onnxruntime and Triton give the same picture, pasted or not."""
    version = str(list_versions(server.repository)[-1])
    graph = server.repository / "generator" / version / "model.onnx"
    for more in ((), ("--paste",)):
        given = ("cartoonize", hopper, "--weights", weights, *more)
        p2c(*given, "--model", graph, "--out", "onnx.png")
        p2c(*given, "--server", server.grpc, "--out", "triton.png")
        onnx, triton = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("onnx", "triton"))
        assert onnx.shape == (cv2.imread(str(hopper)).shape if more else (256, 256, 3))
        assert np.array_equal(onnx, triton)


def test_the_page_shows_what_the_server_draws(server, weights, hopper, p2c, tmp_path):
    from photo2cartoon.cartoonize.web import offer_models

    models = offer_models(ModelChoice(server=server.grpc), weights, PortraitParams())
    for paste, options in ((False, ()), (True, ("--paste",))):
        p2c("cartoonize", hopper, "--weights", weights, "--server", server.grpc, "--out", "cartoon.png", *options)
        shown = models.cartoonize(hopper, f"Triton at {server.grpc}", DrawOptions(paste=paste))[0]
        assert shown == (tmp_path / "cartoon.png").read_bytes()


def test_a_cartoon_by_a_server_takes_one_connection(server, hopper, monkeypatch):
    from tritonclient import grpc

    opened = []

    class Counted(grpc.InferenceServerClient):
        def __init__(self, *given, **options):
            opened.append(given)
            super().__init__(*given, **options)

    monkeypatch.setattr(grpc, "InferenceServerClient", Counted)
    model = ModelChoice(server=server.grpc).load()
    (png,) = Cartoonizer(model, PortraitParams())(hopper)
    assert levels(png).shape == (256, 256, 3) and model.label().startswith("version ")
    assert opened == [(server.grpc,)]


def test_more_portraits_than_the_server_takes_at_once(server, faces):
    from photo2cartoon.dataset.faces import list_pictures, read_rgba

    portraits = np.stack([read_rgba(list_pictures(faces / "trainA")[0])] * 9)
    portraits[8] = portraits[8, :, ::-1]
    drawn = Client(server.grpc).stylize(portraits)
    assert (
        drawn.shape == (9, 256, 256, 3)
        and np.array_equal(drawn[0], drawn[7])
        and not np.array_equal(drawn[0], drawn[8])
    )


def test_models_behind_the_ensemble_have_its_limits(server, hopper):
    """Nobody needs to call them by themselves, and whoever reaches the server can."""
    client = Client(server.grpc)
    with pytest.raises(ServerError, match="portrait: at most 512 x 512 pixels are taken"):
        client.stylize(np.zeros((1, 576, 576, 4), np.uint8))
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    def portraits(photos, since):
        call = Admitted(Call(), "a-test", since).to_json().encode()
        tensors = {
            "photo": np.array([hopper.read_bytes()] * photos, np.object_),
            "call": np.array([call], np.object_),
            "ticket": np.array([-1], np.int32),
        }
        given = []
        for (name, values), kind in zip(tensors.items(), ("BYTES", "BYTES", "INT32"), strict=True):
            given.append(grpc.InferInput(name, values.shape, kind))
            given[-1].set_data_from_numpy(values)
        return grpc.InferenceServerClient(server.grpc).infer("portrait", given).as_numpy("portrait")

    now = time.monotonic()
    assert portraits(1, now).shape == (1, 256, 256, 4)
    with pytest.raises(InferenceServerException, match="9 photographs in a call, at most 8 are taken"):
        portraits(9, now)
    with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.* busy: the call waited longer than 30 s"):
        portraits(1, now - LEASE_SECONDS - 1)


@pytest.mark.parametrize(
    ("photo", "reason"),
    [(b"", "unreadable"), (b"no picture", "unreadable"), ("truncated", "unreadable"), ("noise", "no face")],
)
def test_a_bad_picture_is_an_invalid_argument_in_plain_words(server, hopper, photo, reason):
    if photo == "truncated":
        photo = hopper.read_bytes()[:9000]
    elif photo == "noise":
        photo = cv2.imencode(".png", noise(300, 300, 3))[1].tobytes()
    with pytest.raises(PictureError) as caught:
        Client(server.grpc).cartoonize(photo)
    assert caught.value.reason == reason
    assert "Traceback" not in str(caught.value)


def test_several_photographs_in_a_call(server, hopper, astronaut):
    """Bad ones fail alone, with a code; the answer names the version that drew."""
    client = Client(server.grpc)
    photos = [path.read_bytes() for path in (hopper, astronaut)]
    noisy = cv2.imencode(".png", noise(300, 300, 3))[1].tobytes()
    first, bad, second, faceless = client.cartoonize_all([photos[0], b"no picture", photos[1], noisy])
    for answer, photo in ((first, photos[0]), (second, photos[1])):
        assert answer.error is None and answer.version == list_versions(server.repository)[-1]
        assert np.abs(levels(answer.cartoons[0].cartoon) - levels(client.cartoonize(photo)[0].cartoon)).max() <= 1
    assert (bad.error.reason, faceless.error.reason) == ("unreadable", "no face")
    assert bad.cartoons == faceless.cartoons == []
    assert [answer.error.reason for answer in client.cartoonize_all([b"no picture"])] == ["unreadable"]
    with pytest.raises(ServerError, match="9 photographs in a call, 1 to 8 are taken"):
        client.cartoonize_all([b"no picture"] * 9)


def test_photographs_to_draw_into_are_limited_in_a_call(server, hopper):
    """They pass through shared memory, of which a container has little."""
    photo = cv2.resize(cv2.imread(str(hopper)), (5200, 5200))
    large = cv2.imencode(".jpg", photo)[1].tobytes()
    given = [large, large, hopper.read_bytes()]
    first, second, third = Client(server.grpc).cartoonize_all(given, Call(paste=True, format="jpeg"))
    assert cv2.imdecode(np.frombuffer(first.drawn()[0].cartoon, np.uint8), cv2.IMREAD_COLOR).shape == photo.shape
    with pytest.raises(PictureError, match="too large: photographs to draw into have 50000000 pixels at most"):
        second.drawn()
    assert third.drawn()
    assert all(answer.drawn() for answer in Client(server.grpc).cartoonize_all(given))


def test_codes_need_no_client_of_ours(server, hopper):
    """Plain tritonclient reads the reasons as codes, and sends every parameter as text."""
    from tritonclient import grpc

    given = grpc.InferInput("photo", [2], "BYTES")
    given.set_data_from_numpy(np.array([b"", hopper.read_bytes()], dtype=np.object_))
    parameters = {"faces": "all", "size": "512", "colour": "0.5", "paste": "false", "format": "webp"}
    answer = grpc.InferenceServerClient(server.grpc).infer("photo2cartoon", [given], parameters=parameters)
    assert answer.as_numpy("code").tolist() == [b"unreadable", b"ok"]
    assert answer.as_numpy("detail").tolist() == [b"empty file", b""]
    assert answer.as_numpy("photo_index").tolist() == [1] and answer.as_numpy("box").shape == (1, 4)
    assert Image.open(io.BytesIO(answer.as_numpy("cartoon")[0])).size == (512, 512)


@pytest.mark.parametrize(
    "call",
    [
        Call(paste=True),
        Call("all", paste=True),
        Call(format="jpeg"),
        Call(background="transparent", size=512, format="webp"),
        Call("all", background="photograph", colour=0.2),
        Call(background="skyblue"),
    ],
    ids=["pasted", "everybody pasted", "jpeg", "sticker", "own background", "colour"],
)
def test_every_choice_as_without_a_server(server, maker, group, call):
    """What Triton answers is what the same graph gives on the command line, and is marked.

    Of several faces it draws all at once, which moves a few pixels by a level, and pastes all at the largest one's size.
    """
    version = list_versions(server.repository)[-1]
    model = ModelChoice(repository=server.repository).load()
    options = {name: value for name, value in asdict(call).items() if name != "format"}
    here = Cartoonizer(model, PortraitParams(), maker, DrawOptions(**options))(group, call.format)
    there = [face.cartoon for face in Client(server.grpc).cartoonize(group.read_bytes(), call)]
    assert len(there) == (3 if call.faces == "all" and not call.paste else 1)
    if call.faces == "all":
        for one, other in zip(there, here, strict=True):
            difference = np.abs(levels(one) - levels(other))
            left, top, right, bottom = maker.of(Photograph(group)).box
            assert (difference[top:bottom, left:right] if call.paste else difference).max() <= 1
            assert difference.mean() < 2
            for face in maker.all_of(Photograph(group), 256) if call.paste else ():
                left, top, right, bottom = face.box
                served, drawn = (
                    np.abs(levels(picture) - decode(group).astype(int))[top:bottom, left:right].mean()
                    for picture in (one, other)
                )
                assert served > 0.5 * drawn > 5, "each of them is drawn"
    else:
        assert there == here
    found = read_packet(Image.open(io.BytesIO(there[0])).info["xmp"])
    assert found == Mark(f"version {version}", composite=call.paste)


def test_many_calls_at_once_from_one_thread(server, hopper):
    async def draw(count):
        async with AsyncClient(server.grpc) as client:
            return await asyncio.gather(*(client.cartoonize(hopper.read_bytes()) for _ in range(count)))

    answers = asyncio.run(draw(6))
    assert all(np.abs(levels(face.cartoon) - levels(answers[0][0].cartoon)).max() <= 1 for (face,) in answers)
    with pytest.raises(PictureError, match="unreadable"):
        asyncio.run(_one(server, b"no picture"))


async def _one(server, photo):
    async with AsyncClient(server.grpc) as client:
        return await client.cartoonize(photo)


@pytest.mark.parametrize(("size", "colour"), [(256, 0.9), (512, 0.3)])
def test_everybody_in_one_call_as_in_process(server, versions, maker, group, hopper, size, colour):
    """One call returns a cartoon for each face, with its box, equal to what the same checkpoint draws without a server."""
    aliases.set_champion("served", versions[0][0])
    promote(server.repository, MODEL, server.grpc)
    faces = Client(server.grpc).cartoonize(group.read_bytes(), Call("all", size, colour=colour))
    portraits = maker.all_of(Photograph(group), size)
    assert len(faces) == len(portraits) == 3
    assert [face.box for face in faces] == [portrait.box for portrait in portraits]
    middles = [(left + right) / 2 for left, _, right, _ in (face.box for face in faces)]
    assert middles[0] < 530 < middles[1] < 1060 < middles[2], "the largest first"
    draw = by_torch(versions[0][1])
    for face, portrait in zip(faces, portraits, strict=True):
        assert np.abs(levels(face.cartoon) - draw(portrait.rgba[None], colour)[0]).max() <= 1
    (alone,) = Client(server.grpc).cartoonize(hopper.read_bytes(), Call("all", size))
    assert levels(alone.cartoon).shape == (size, size, 3)


def test_faces_of_several_photographs_are_told_apart(server, group, hopper):
    from tritonclient import grpc

    given = grpc.InferInput("photo", [2], "BYTES")
    given.set_data_from_numpy(np.array([hopper.read_bytes(), group.read_bytes()], dtype=np.object_))
    client = grpc.InferenceServerClient(server.grpc)
    answer = client.infer("photo2cartoon", [given], parameters={"faces": "all"})
    assert answer.as_numpy("photo_index").tolist() == [0, 1, 1, 1] and len(answer.as_numpy("cartoon")) == 4
    for parameters, said in (
        ({"faces": "everyone"}, "parameters: faces 'everyone': expected largest or all"),
        ({"size": 300}, "parameters: size 300: expected 256 or 512"),
        ({"face": "all"}, "parameters: face: unknown; there are faces, size, background, colour, paste, format"),
        ({"colour": "red"}, "parameters: colour 'red': is not a number"),
        ({"colour": 2}, r"parameters: colour 2: is not from 0"),
        ({"size": math.inf}, "parameters: size 'inf': is not a whole number"),
    ):
        with pytest.raises(grpc.InferenceServerException, match=said):
            client.infer("photo2cartoon", [given], parameters=parameters)


def test_a_picture_that_its_format_cannot_hold_is_refused_alone(server, hopper):
    from tritonclient import grpc

    face = cv2.resize(cv2.imread(str(hopper)), (2400, 2900))
    wide = np.full((len(face), 16_400, 3), 255, np.uint8)
    wide[:, : face.shape[1]] = face
    given = grpc.InferInput("photo", [2], "BYTES")
    photos = [cv2.imencode(".jpg", wide)[1].tobytes(), hopper.read_bytes()]
    given.set_data_from_numpy(np.array(photos, dtype=np.object_))
    client = grpc.InferenceServerClient(server.grpc)
    answer = client.infer("photo2cartoon", [given], parameters={"paste": True, "format": "webp"})
    assert answer.as_numpy("code").tolist() == [b"too_large", b"ok"]
    assert b"webp has at most 16383 pixels a side" in answer.as_numpy("detail")[0]
    assert answer.as_numpy("photo_index").tolist() == [1] and len(answer.as_numpy("cartoon")) == 1


def test_a_call_of_too_many_bytes_is_refused(server, hopper):
    from tritonclient import grpc

    given = grpc.InferInput("photo", [2], "BYTES")
    given.set_data_from_numpy(np.array([hopper.read_bytes(), bytes(MOST_BYTES)], dtype=np.object_))
    client = grpc.InferenceServerClient(server.grpc)
    with pytest.raises(grpc.InferenceServerException, match="photo: 128 MB in a call, 128 are taken"):
        client.infer("photo2cartoon", [given])


def test_the_command_line_draws_through_it(server, p2c, hopper, tmp_path):
    done = p2c("cartoonize", hopper, "--server", server.grpc, "--out", "cartoon.png")
    version = list_versions(server.repository)[-1]
    assert done.stdout == f"cartoon.png: drawn by version {version} of Triton at {server.grpc}\n"
    assert levels((tmp_path / "cartoon.png").read_bytes()).shape == (256, 256, 3)
    (tmp_path / "bad.png").write_text("no picture")
    done = p2c("cartoonize", "bad.png", "--server", server.grpc, "--out", "x.png", code=1)
    assert done.stderr == "p2c: bad.png: unreadable: not a picture of a known format\n"
    assert not (tmp_path / "x.png").exists()
