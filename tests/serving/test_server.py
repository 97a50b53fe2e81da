"""A real Triton serves the ensemble in one call, loads new versions while running, and refuses bad input clearly."""

import asyncio
import concurrent.futures
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from photo2cartoon.cartoonize.stills import Cartoonizer
from photo2cartoon.cartoonize.stylize import ModelChoice, by_torch
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import select
from photo2cartoon.export.export import export
from photo2cartoon.params import Evaluate, Export, PortraitParams, Select
from photo2cartoon.pictures import decode_png
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.provenance.mark import Mark, read_packet
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.call import Call
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE, RefusedError, find_key, server_key
from photo2cartoon.serving.messages import BusyError, ServerError
from photo2cartoon.serving.plan import THROUGHPUT, configurations
from photo2cartoon.serving.repository import list_versions, promote, rollback
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.serving.watch import processes
from photo2cartoon.tracking import registry
from tests.conftest import ROOT, noise

MODEL = Select(model_name="served", metric="kernel_face", promote="always")


@pytest.fixture(scope="module")
def versions(trained, faces, weights, tmp_path_factory):
    """Two exported versions in the registry with different cartoons; returns versions and checkpoint folders."""
    folder = tmp_path_factory.mktemp("versions")
    result = evaluate(Evaluate(photos="all"), trained, faces, weights, folder / "scores")
    selected = []
    for name in ("step-000002", "step-000004"):
        only = {key: value for key, value in result["scores"].items() if key in ("photographs", name)}
        (folder / "scores/scores.json").write_text(json.dumps(result | {"scores": only}))
        selection = select(MODEL, folder / "scores", trained, folder / name)
        export(Export(), folder / name, faces, folder / f"{name}.onnx", weights=weights)
        selected.append((selection.version, folder / name))
    return selected


@pytest.fixture(scope="module")
def repository(versions, tmp_path_factory):
    """Copy of the project's model repository with version 1 promoted."""
    folder = tmp_path_factory.mktemp("triton") / "triton_repo"
    shutil.copytree(ROOT / "triton_repo", folder)
    # A stale version with the same number must not be mistaken for the promoted one.
    (folder / "generator/1").mkdir(exist_ok=True)
    (folder / "generator/1/model.onnx").write_bytes(b"stale")
    registry.set_champion("served", versions[0][0])
    promote(folder, MODEL)
    return folder


@pytest.fixture(scope="module")
def server(repository, weights, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "a-key-for-the-tests")
        with Server(repository, tmp_path_factory.mktemp("run"), Ports.free(), weights, None) as running:
            yield running


@pytest.fixture(scope="module")
def maker(weights):
    return PortraitMaker.from_params(weights, PortraitParams())


def in_process(maker, checkpoint, photo):
    """Return torch's cartoon of a photograph, made without a server."""
    return by_torch(checkpoint)(maker(decode(photo)).rgba[None])[0].astype(int)


def levels(png):
    return decode_png(png).astype(int)


def test_one_call_draws_what_the_checkpoint_draws(server, versions, maker, hopper, astronaut):
    registry.set_champion("served", versions[0][0])
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


def test_a_busy_server_refuses_at_once_and_draws_again(server, hopper):
    """Nothing queues beyond what the server can do in seconds; places come back also from calls that failed."""
    client, photo, places = Client(server.grpc), hopper.read_bytes(), server.slots()
    client.cartoonize_all([b"no picture"] * 8)
    assert places.taken() == 0 and len(places) == 16 * server.cores
    taken = places.take(len(places))
    with pytest.raises(BusyError, match="busy: as many photographs as the server takes"):
        client.cartoonize(photo)
    places.free(taken[:1])
    assert client.cartoonize(photo) and places.taken() == len(places) - 1
    with pytest.raises(BusyError):
        client.cartoonize_all([photo, photo])
    places.free(taken)


def test_nobody_without_the_key_controls_the_models(server, hopper, tmp_path):
    """Neither protocol unloads, loads, runs code of a stranger, or touches memory, traces and logs."""
    from tritonclient import grpc, http
    from tritonclient.utils import InferenceServerException

    spoilt = '{"backend": "python", "max_batch_size": 0}'
    code = {"file:1/model.py": b"import os; os._exit(1)"}
    clients = grpc.InferenceServerClient(server.grpc), http.InferenceServerClient(f"127.0.0.1:{server.ports.http}")
    for client in clients:
        for forbidden in (
            lambda client: client.unload_model("picture"),
            lambda client: client.load_model("picture"),
            lambda client: client.load_model("stranger", config=spoilt, files=code),
            lambda client: client.get_model_repository_index(),
            lambda client: client.register_system_shared_memory("region", "/p2c", 64),
            lambda client: client.update_trace_settings(settings={"trace_level": ["TENSORS"]}),
            lambda client: client.update_log_settings({"log_verbose_level": 9}),
        ):
            with pytest.raises(InferenceServerException, match=r"This (protocol|API) is restricted"):
                forbidden(client)
    with pytest.raises(
        UserError, match="model control wants the server's key: give it by P2C_TRITON_KEY or --key-file"
    ):
        promote(server.repository, MODEL, server.grpc, key="")
    before = registry.champion_version("served")
    with pytest.raises(RefusedError):
        rollback(server.repository, MODEL, server.grpc, key="another-key-of-somebody")
    assert registry.champion_version("served") == before
    (tmp_path / "key").write_text(server.key)
    promote(server.repository, MODEL, server.grpc, key=find_key(tmp_path / "key"))
    assert Client(server.grpc).cartoonize(hopper.read_bytes())


def test_a_key_is_made_once_and_weak_ones_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key = server_key(tmp_path)
    assert len(key) == 32 and server_key(tmp_path) == key and (tmp_path / "control.key").stat().st_mode & 0o77 == 0
    for weak in ("", "short", "a key with spaces in it", "k:e=y,that-triton-would-split"):
        monkeypatch.setenv(VARIABLE, weak)
        with pytest.raises(UserError, match="a key has at least 16 letters, digits, - or _"):
            server_key(tmp_path)


@pytest.mark.parametrize(("size", "colour"), [(256, 0.9), (512, 0.3)])
def test_everybody_in_one_call_as_in_process(server, versions, maker, group, hopper, size, colour):
    """One call returns a cartoon for each face, with its box, equal to what the same checkpoint draws without a server."""
    registry.set_champion("served", versions[0][0])
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
        ({"faces": "everyone"}, "parameters: faces 'everyone': known are largest and all"),
        ({"size": 300}, "parameters: size 300: known are 256 and 512"),
        ({"face": "all"}, "parameters: face: unknown; there are faces, size, background, colour, paste, format"),
        ({"colour": "red"}, "parameters: colour 'red': is not a number"),
        ({"colour": 2}, r"parameters: colour 2: is not from 0"),
    ):
        with pytest.raises(grpc.InferenceServerException, match=said):
            client.infer("photo2cartoon", [given], parameters=parameters)


def test_a_new_version_is_loaded_under_load_and_rolled_back(server, versions, maker, hopper):
    photo = hopper.read_bytes()
    first, second = (number for number, _ in versions)
    expected = {number: in_process(maker, path, hopper) for number, path in versions}
    assert np.abs(expected[first] - expected[second]).max() > 3

    def which(picture):
        return next(number for number, drawn in expected.items() if np.abs(levels(picture) - drawn).max() <= 1)

    registry.set_champion("served", first)
    promote(server.repository, MODEL, server.grpc)
    client = Client(server.grpc)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(client.cartoonize, photo) for _ in range(24)]
        registry.set_champion("served", second)
        assert promote(server.repository, MODEL, server.grpc) == second
        assert list_versions(server.repository)[-1] == second
        answers = [
            which(call.result()[0].cartoon) for call in calls
        ]  # no call failed; each used one version or the other
    assert which(client.cartoonize(photo)[0].cartoon) == second
    assert answers == sorted(answers)

    assert rollback(server.repository, MODEL, server.grpc) == first
    assert which(client.cartoonize(photo)[0].cartoon) == first
    assert int(registry.find_alias("served", "champion").version) == first
    assert rollback(server.repository, MODEL, server.grpc) == second
    assert which(client.cartoonize(photo)[0].cartoon) == second


def test_instances_and_threads_are_the_machines(server):
    """A server loads each model once, as the machine asks for; files in the repository do not say it."""
    half = max(1, server.cores // 2)
    deadline = time.monotonic() + 30  # the processes of a version that was replaced may still be ending
    while processes(server.process.pid) != {"generator": 1, "portrait": half, "picture": half, "gate": 1}:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    many = configurations(storage_at(server.repository), THROUGHPUT, 6)
    assert [many[model]["instance_group"][0]["count"] for model in ("generator", "portrait", "picture")] == [6, 6, 3]
    assert many["generator"]["parameters"]["intra_op_thread_count"]["string_value"] == "1"


@contextlib.contextmanager
def under_load(server, photo, clients=2):
    """Let clients call a server one after another; yield their answers, and raise what one of them met."""
    answers, stop = [], threading.Event()

    def call():
        client = Client(server.grpc)
        while not stop.is_set():
            answers.append(client.cartoonize(photo, timeout=20)[0].cartoon)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        calls = [pool.submit(call) for _ in range(clients)]
        try:
            yield answers
        finally:
            stop.set()
        for each in calls:
            each.result()


@pytest.mark.parametrize("model", ["gate", "portrait", "generator", "picture"])
def test_a_process_that_dies_in_the_middle_of_calls_loses_none(server, hopper, model):
    """Triton itself would answer with errors for it for good; the server replaces it, and clients try again meanwhile."""
    with under_load(server, hopper.read_bytes()) as answers:
        before = processes(server.process.pid)[model]
        (victim, *_) = (
            int(place.name)
            for place in Path("/proc").iterdir()
            if place.name.isdigit() and f"{model}_0_0" in words(place) and "stub" in words(place)[0]
        )
        os.kill(victim, signal.SIGKILL)
        count = len(answers)
        deadline = time.monotonic() + 60
        while len(answers) < count + 12 or processes(server.process.pid)[model] < before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    while server.slots().taken():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def words(place):
    try:
        return (place / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


@pytest.mark.long
def test_twenty_promotions_and_five_rollbacks_under_load_lose_no_request(server, versions, hopper):
    numbers = [number for number, _ in versions]
    registry.set_champion("served", numbers[0])
    promote(server.repository, MODEL, server.grpc)
    with under_load(server, hopper.read_bytes()) as answers:
        for turn in range(20):
            registry.set_champion("served", numbers[(turn + 1) % 2])
            assert promote(server.repository, MODEL, server.grpc) == numbers[(turn + 1) % 2]
        for turn in range(5):
            assert rollback(server.repository, MODEL, server.grpc) == numbers[(turn + 1) % 2]
            assert Client(server.grpc).version() == str(numbers[(turn + 1) % 2])
    assert len(answers) > 50


def test_loopback_only_and_metrics(server):
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=10).read().decode()
    assert 'nv_inference_request_success{model="photo2cartoon"' in text
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True).stdout
    for port in vars(server.ports).values():
        places = {line.split()[1] for line in listening.splitlines() if f":{port:04X} " in line and " 0A " in line}
        loopback = {f"0100007F:{port:04X}", f"0000000000000000FFFF00000100007F:{port:04X}"}  # IPv4, IPv4 in IPv6
        assert places and places <= loopback


def test_the_command_line_draws_through_it(server, p2c, hopper, tmp_path):
    done = p2c("cartoonize", hopper, "--server", server.grpc, "--out", "cartoon.png")
    version = list_versions(server.repository)[-1]
    assert done.stdout == f"cartoon.png: drawn by version {version} of Triton at {server.grpc}\n"
    assert levels((tmp_path / "cartoon.png").read_bytes()).shape == (256, 256, 3)
    (tmp_path / "bad.png").write_text("no picture")
    done = p2c("cartoonize", "bad.png", "--server", server.grpc, "--out", "x.png", code=1)
    assert done.stderr == "p2c: bad.png: unreadable: not a picture of a known format\n"
    assert not (tmp_path / "x.png").exists()


def test_a_taken_port_an_empty_repository_and_a_missing_server_are_named(server, repository, weights, tmp_path, hopper):
    with pytest.raises(UserError, match=f"port {server.ports.grpc} on 127.0.0.1 is taken"):
        Server(repository, tmp_path, Ports(grpc=server.ports.grpc), weights, None).start()
    with pytest.raises(UserError, match="holds no version yet"):
        Server(tmp_path, tmp_path, Ports.free(), weights, None).start()
    with pytest.raises(UserError, match=r"Triton at 127\.0\.0\.1:1: "):
        Client("127.0.0.1:1").cartoonize(hopper.read_bytes(), timeout=5)


def test_a_graph_that_cannot_be_loaded_ends_in_a_sentence(repository, weights, tmp_path):
    copy = tmp_path / "triton_repo"
    shutil.copytree(repository, copy)
    (copy / "generator/99").mkdir()
    (copy / "generator/99/model.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match="load failed for model 'generator': version 99"):
        Server(copy, tmp_path / "run", Ports.free(), weights, None).start()


def test_promoting_without_a_champion_or_an_export_says_what_to_do(repository, tmp_path):
    with pytest.raises(UserError, match="no version with the alias 'champion'"):
        promote(repository, Select(model_name="nobody"))
    with pytest.raises(UserError, match="is not the model repository"):
        promote(tmp_path, MODEL)


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_serve_runs_until_it_is_told_to_stop_and_leaves_nothing_behind(repository, weights, tmp_path, how):
    ports = Ports.free()
    command = [sys.executable, "-m", "photo2cartoon", "serve", "--repository", repository, "--weights", weights]
    command += [f"--{name}-port={port}" for name, port in vars(ports).items()] + ["--run-folder", tmp_path / "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert f"gRPC 127.0.0.1:{ports.grpc}" in process.stdout.readline()
    getattr(process, how)()
    assert process.wait(20) == (0 if how == "terminate" else -9)  # well before it would have to be killed
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports.grpc)) != 0:
                return
        time.sleep(0.2)
    pytest.fail("the server is still there")


def test_a_python_without_its_library_is_named_before_anything_starts(repository, weights, tmp_path, monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr("photo2cartoon.serving.server.ctypes.CDLL", no_library)
    with pytest.raises(UserError, match=r"needs libpython3\.1\d\.so\.1\.0.*apt-get install libpython3"):
        Server(repository, tmp_path / "run", Ports.free(), weights, None).start()
    assert not (tmp_path / "run").exists()
