"""The page makes the same cartoons as the command, reports failures in one line, and contacts no other machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import pytest
import requests
from gradio_client import Client, handle_file

from photo2cartoon import pretrained
from photo2cartoon.ports import free_ports


@pytest.fixture(scope="module")
def page(trained, weights, raw, tmp_path_factory):
    """Address of the page that the command serves with the tiny checkpoint."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "photo2cartoon", "web", "--port", port, "--weights", weights]
    command += ["--checkpoint", trained / "checkpoints/step-000004", "--examples", raw / "photos"]
    folder = tmp_path_factory.mktemp("page")
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    address = re.search(r"http://\S+", process.stdout.readline())[0]
    yield address
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not list(folder.rglob("*.*")), "photographs are left behind"


@pytest.fixture(scope="module")
def ask(page, tmp_path_factory):
    """Function that calls the page as its own script does and returns the picture."""
    client = Client(page, verbose=False, download_files=tmp_path_factory.mktemp("got"))

    def ask(photo, **choices) -> list[np.ndarray]:
        one, several = client.predict(handle_file(str(photo)), **choices, api_name="/cartoonize")
        paths = [each["image"] for each in several["value"]] if several["visible"] else [one["value"]]
        return [cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in paths]

    return ask


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        ({}, ()),
        ({"show": "In the photograph"}, ("--paste",)),
        ({"show": "In the photograph", "everybody": True}, ("--paste", "--faces", "all")),
        (
            {"everybody": True, "size": 512, "background": "transparent"},
            "--faces all --size 512 --background transparent",
        ),
        ({"background": "#3366cc", "colour": 0.4}, ("--background", "#3366cc", "--colour", "0.4")),
    ],
)
def test_it_draws_what_the_command_draws(ask, checkpoint, weights, group, p2c, tmp_path, choices, options):
    options = options.split() if isinstance(options, str) else options
    p2c("cartoonize", group, "--checkpoint", checkpoint, "--weights", weights, "--out", "cartoon.png", *options)
    shown = ask(group, **choices)
    written = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(tmp_path.glob("cartoon*.png"))]
    assert len(shown) == len(written) == (3 if "size" in choices else 1)
    for one, other in zip(shown, written, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: cv2.imencode(".png", np.full((300, 300, 3), 200, np.uint8))[1].tobytes(), "No face was found"),
        (lambda: cv2.imencode(".png", np.full((9, 9, 3), 200, np.uint8))[1].tobytes(), "too small"),
        # The command reads it; of strangers, only the formats of cameras and browsers are decoded.
        (
            lambda: cv2.imencode(".bmp", np.full((300, 300, 3), 200, np.uint8))[1].tobytes(),
            "not a picture of a known format",
        ),
        (lambda: b"\xff\xd8 no picture at all", "cannot be read as a picture"),
    ],
)
def test_what_cannot_be_drawn_is_said(ask, tmp_path, content, said):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(content())
    with pytest.raises(Exception, match=said):
        ask(photo)


def test_more_than_the_limit_is_not_taken_in(page):
    """The size limit in params.yaml applies to the upload itself."""
    body = (
        b"--b\r\nContent-Disposition: form-data; name=files; filename=a.jpg\r\n\r\n"
        + bytes(70_000_000)
        + b"\r\n--b--\r\n"
    )
    request = urllib.request.Request(
        f"{page}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=b"}
    )
    with pytest.raises(OSError, match=r"413|Broken pipe|reset"):
        urllib.request.urlopen(request, timeout=60)


def test_only_what_was_uploaded_is_read(page, hopper):
    """A file on the server's machine is not opened when a client names it."""
    with hopper.open("rb") as photo:
        uploaded = requests.post(f"{page}gradio_api/upload", files={"files": photo}, timeout=20).json()[0]
    ends = []
    for path in (uploaded, str(hopper)):
        photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
        given = [photo, "step-000004", "Portrait", False, 256, "white", 0.9]
        call = requests.post(f"{page}gradio_api/call/cartoonize", json={"data": given}, timeout=20).json()
        events = requests.get(f"{page}gradio_api/call/cartoonize/{call['event_id']}", timeout=60).text
        ends.append("complete" if "event: complete" in events else "error" if "event: error" in events else events)
    assert ends == ["complete", "error"]


def test_a_pictures_address_is_not_fetched(page):
    """Gradio would: from any machine that this one reaches, without a limit on the size."""
    photo = {"path": "http://example.org/photo.jpg", "meta": {"_type": "gradio.FileData"}}
    given = [photo, "step-000004", "Portrait", False, 256, "white", 0.9]
    call = requests.post(f"{page}gradio_api/call/cartoonize", json={"data": given}, timeout=20).json()
    events = requests.get(f"{page}gradio_api/call/cartoonize/{call['event_id']}", timeout=60).text
    assert "event: error" in events and "http://example.org/photo.jpg: is not fetched; upload the picture" in events


def test_it_answers_only_to_names_of_this_machine(page):
    """Another name that leads here belongs to a page from elsewhere, which could use this one through a browser."""
    asked = {host: requests.get(page, headers={"Host": host}, timeout=20).status_code for host in (
        "localhost:7860", "127.0.0.1", "cartoons.example.org", "127.0.0.1.example.org")}  # fmt: skip
    assert list(asked.values()) == [200, 200, 400, 400]


def test_it_asks_nothing_from_elsewhere(page):
    html = urllib.request.urlopen(page, timeout=20).read().decode()
    sources = re.findall(r'(?:src|href)="(https?://[^"]+)"', html)
    assert not [source for source in sources if not source.startswith(page)]


def test_a_port_that_is_taken(p2c, checkpoint, weights):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = p2c("web", "--port", port, "--checkpoint", checkpoint, "--weights", weights, code=1)
    assert f"port {port} on 127.0.0.1" in done.stderr


def test_without_a_choice_it_offers_the_promoted_version_and_the_projects_own(weights, tmp_path):
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.cartoonize.web import offer_models
    from photo2cartoon.export.bundle import write_whole
    from photo2cartoon.params import PortraitParams

    (tmp_path / "generator/7").mkdir(parents=True)
    write_whole(pretrained.graph("slim"), tmp_path / "generator/7/model.onnx")
    models = offer_models(ModelChoice(repository=tmp_path), weights, PortraitParams())
    assert list(models.choices) == ["version 7, promoted", "full", "slim"]
