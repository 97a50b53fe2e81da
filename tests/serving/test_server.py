"""A server uses its machine, listens where it is told, and names what keeps it from starting."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from photo2cartoon.dataset.summary import summarise
from photo2cartoon.errors import UserError
from photo2cartoon.layout import READY
from photo2cartoon.params import Select
from photo2cartoon.portrait import Photograph
from photo2cartoon.portrait.numbers import QUANTILES, numbers_of
from photo2cartoon.serving import server as server_module
from photo2cartoon.serving.call import Call
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.messages import ServerError
from photo2cartoon.serving.plan import THROUGHPUT, configurations
from photo2cartoon.serving.repository import promote
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stamp import TRAINING
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.serving.stub_watch import processes
from tests.serving.conftest import MODEL, parent


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


def test_loopback_only(server):
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True).stdout
    for port in vars(server.ports).values():
        places = {line.split()[1] for line in listening.splitlines() if f":{port:04X} " in line and " 0A " in line}
        loopback = {f"0100007F:{port:04X}", f"0000000000000000FFFF00000100007F:{port:04X}"}  # IPv4, IPv4 in IPv6
        assert places and places <= loopback


def metrics(server):
    """Return the values that Prometheus would read, by name and labels."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=10).read().decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return Counter({name: float(value) for name, value in lines})


def test_each_call_is_counted_measured_and_logged(server, faces, maker, hopper):
    client, photo = Client(server.grpc), hopper.read_bytes()
    before = metrics(server)
    answers = client.cartoonize_all([photo, b"no picture", photo], Call(format="webp"))
    with pytest.raises(ServerError, match=r"9 photographs in a call, .* \(request [0-9a-f]{16}\)") as refused:
        client.cartoonize_all([photo] * 9)
    after, version = metrics(server), answers[0].version
    counted = {name: value - before[name] for name, value in after.items() if re.match("p2c_.*_total", name)}
    assert {name: value for name, value in counted.items() if value} == {
        'p2c_calls_total{result="answered"}': 1,
        'p2c_calls_total{result="invalid"}': 1,
        'p2c_photographs_total{code="ok"}': 2,
        'p2c_photographs_total{code="unreadable"}': 1,
        f'p2c_cartoons_total{{format="webp",version="{version}"}}': 2,
    }
    portrait = maker.of(Photograph(hopper))
    for name, value in (*numbers_of(portrait)._asdict().items(), ("faces", 1)):
        family = "p2c_faces" if name == "faces" else f"p2c_portrait_{name}"
        assert after[f"{family}_count"] - before[f"{family}_count"] == 2
        assert after[f"{family}_sum"] - before[f"{family}_sum"] == pytest.approx(2 * value, rel=1e-4)
    steps = ("decode", "portrait", "picture", "encode")
    took = [
        after[f'p2c_step_duration_seconds_sum{{step="{step}"}}']
        - before[f'p2c_step_duration_seconds_sum{{step="{step}"}}']
        for step in steps
    ]
    whole = after["p2c_call_duration_seconds_sum"] - before["p2c_call_duration_seconds_sum"]
    assert min(took) > 0 and sum(took) < whole
    summary = summarise(faces)
    for number, quantile in TRAINING:
        expected = summary[number][QUANTILES.index(quantile)]
        assert after[f'p2c_training{{number="{number}",quantile="{quantile}"}}'] == pytest.approx(expected, rel=1e-4)
    assert after["p2c_training_refused"] == pytest.approx(summary["refused"])

    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (line,) = (line for line in lines if line["request"] == answers[0].request)
    assert line["codes"] == ["ok", "unreadable", "ok"] and line["version"] == version and line["cartoons"] == 2
    assert line["seconds"].keys() == {*steps, "all"} and abs(line["time"] - time.time()) < 60
    (line,) = (line for line in lines if line["request"] in str(refused.value))
    assert line["result"] == "invalid" and "9 photographs" in line["detail"]


def test_a_request_without_a_name_gets_one(server):
    """A long name, or one with line breaks, does not spoil the log."""
    from tritonclient import grpc

    given = grpc.InferInput("photo", [1], "BYTES")
    given.set_data_from_numpy(np.array([b""], dtype=np.object_))
    client = grpc.InferenceServerClient(server.grpc)
    size = server.log.stat().st_size
    for name in ("", "two\nlines" + "x" * 999):
        client.infer("photo2cartoon", [given], request_id=name)
    with server.log.open() as log:
        log.seek(size)
        unnamed, named = (json.loads(line)["request"] for line in log)
    assert re.fullmatch("[0-9a-f]{32}", unnamed) and named == "two\nlines" + "x" * 55


def test_a_taken_port_an_empty_repository_and_a_missing_server_are_named(server, repository, weights, tmp_path, hopper):
    with pytest.raises(UserError, match=f"port {server.ports.grpc} on 127.0.0.1 is taken"):
        Server(repository, tmp_path, Ports(grpc=server.ports.grpc), weights, None).start()
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.99, port .*: Cannot assign requested address"):
        Server(repository, tmp_path, Ports.free(), weights, None, host="192.0.2.99").start()
    with pytest.raises(UserError, match="the log cannot be written: Is a directory"):
        Server(repository, tmp_path, Ports.free(), weights, None, log=str(tmp_path)).start()
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


def test_a_server_that_does_not_answer_is_given_up_and_ended(repository, weights, tmp_path, monkeypatch):
    triton = tmp_path / "triton/bin/tritonserver"
    triton.parent.mkdir(parents=True)
    triton.write_text("#!/bin/sh\necho $$ > $TRITON_HOME/pid\nsleep 100\n")
    triton.chmod(0o755)
    (tmp_path / "triton/backends/onnxruntime").mkdir(parents=True)
    monkeypatch.setenv("TRITON_HOME", str(tmp_path / "triton"))
    monkeypatch.setattr(server_module, "START_SECONDS", 2)
    with pytest.raises(UserError, match=r"Triton was not ready after 2 s \(log: .*triton\.log\)"):
        Server(repository, tmp_path / "run", Ports.free(), weights, None).start()
    assert not Path("/proc", (tmp_path / "triton/pid").read_text().strip()).exists()


def test_promoting_without_a_champion_or_an_export_says_what_to_do(repository, tmp_path):
    with pytest.raises(UserError, match="no version with the alias 'champion'"):
        promote(repository, Select(model_name="nobody"))
    with pytest.raises(UserError, match="is not the model repository"):
        promote(tmp_path, MODEL)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_serve_runs_until_it_is_told_to_stop_and_leaves_nothing_behind(repository, weights, hopper, tmp_path, how):
    ports = Ports.free()
    command = [sys.executable, "-m", "photo2cartoon", "serve", "--repository", repository, "--weights", weights]
    command += [f"--{name}-port={port}" for name, port in vars(ports).items()] + ["--run-folder", tmp_path / "run"]
    if how == "terminate":  # as in the image
        command += ["--log", "-"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line := process.stdout.readline()]
    while f"gRPC 127.0.0.1:{ports.grpc}" not in line:
        assert line, "".join(lines)
        lines.append(line := process.stdout.readline())
    calls = [json.loads(line) for line in lines if line.startswith("{")]
    assert [call["result"] for call in calls] == ["answered"] * (how == "terminate"), "the picture of the start"
    assert (tmp_path / "run" / READY).is_file()  # for probes
    if how == "terminate":
        (triton,) = (place for place in Path("/proc").iterdir() if parent(place) == process.pid)
        os.kill(int(triton.name), signal.SIGSEGV)
        said = [process.stdout.readline()]
        while "Triton serves again" not in said[-1]:
            assert said[-1], "".join(said)
            said.append(process.stdout.readline())
        assert "Triton ended by itself (SIGSEGV); it is started again" in "".join(said)
        assert (tmp_path / "run" / READY).is_file()
        assert Client(f"127.0.0.1:{ports.grpc}").cartoonize(hopper.read_bytes())
    getattr(process, how)()
    assert process.wait(20) == (0 if how == "terminate" else -9)  # well before it would have to be killed
    assert (tmp_path / "run" / READY).exists() is (how == "kill")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports.grpc)) != 0:
                return
        time.sleep(0.2)
    pytest.fail("the server is still there")


def test_a_python_without_its_library_is_named_before_anything_starts(repository, weights, tmp_path, monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr("photo2cartoon.serving.installation.ctypes.CDLL", no_library)
    with pytest.raises(UserError, match=r"needs libpython3\.1\d\.so\.1\.0.*apt-get install libpython3"):
        Server(repository, tmp_path / "run", Ports.free(), weights, None).start()
    assert not (tmp_path / "run").exists()
