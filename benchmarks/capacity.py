"""Measures how the capacity of servers grows with their number, and writes the tables of docs/how-to/cluster.md.

    python -m benchmarks.capacity --weights weights --write

One, two and four servers run, each on one core of this machine in turn; four servers on two cores share them. The model:
pictures a second are those of one server on a core of its own, times the cores that the servers have. Its error is the
largest difference from what two and four servers drew. Servers share nothing while they draw, so the rest of the tables
is what they do share, measured for one and multiplied: the gateway (nginx, if it is installed), the model repository, and
the follower that tells one server after another to load a version.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.page import write_between
from benchmarks.serving import Times, machine, model_repository, photographs, served
from photo2cartoon import pretrained
from photo2cartoon.cores import usable_cores
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import GENERATOR
from photo2cartoon.ports import LOOPBACK, free_ports
from photo2cartoon.progress import bar
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import Control
from photo2cartoon.serving.plan import THROUGHPUT
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stamp import stamp

NUMBERS, CLIENTS = (1, 2, 4), 4
CORES = (1, 4, 16, 64, 256, 1024)
BUSY = 0.5  # of a day's capacity that is used: people do not come evenly
PAGE = Path("docs/how-to/cluster.md")


def main() -> None:
    """Measure, print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--model", default="slim", help="bundled model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="duration of each measurement in a round")
    parser.add_argument("--price", type=float, default=0.04, help="of a core for an hour, in your currency")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE}")
    options = parser.parse_args()
    photos, cores = photographs(None), sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        graph = Path(folder) / "graph.onnx"
        stamp(pretrained.graph(options.model), 1, graph)
        repository = model_repository(graph, Path(folder) / "models")
        servers = []
        for number in range(max(NUMBERS)):
            with _on_core(cores[number % len(cores)]):
                run = Path(folder) / f"run-{number}"
                server = Server(repository, run, Ports.free(), options.weights, None, profile=THROUGHPUT)
                servers.append(stack.enter_context(server))
        taken = _drawn([server.grpc for server in servers], photos, options)
        gateway = _through_gateway(servers[0], photos, options.seconds, Path(folder))
        answer = len(Client(servers[0].grpc).cartoonize(photos[0])[0].cartoon)
        loads = [_load_seconds(servers[0]) for _ in range(3)]
        size = graph.stat().st_size
    measured, one, error = _measured(taken, usable_cores())
    traffic = statistics.mean(map(len, photos)) + answer
    carried = _carried_on(one, error, options.price, traffic, gateway, statistics.median(loads))
    text = (
        f"{machine()}, `{options.model}`, photographs of 1,024 px, {options.rounds} rounds of {options.seconds:g} s,"
        f" {CLIENTS} clients a server:\n\n{measured}\n\n{carried}\n\nA call moves {traffic / 1e3:.0f} kB."
        f" {_gateway_words(gateway)} A server loads a version in {statistics.median(loads):.1f} s, and"
        f" reads {size / 1e6:.0f} MB for it; one that starts reads the same."
    )
    print(text)
    if options.write:
        write_between(PAGE, "benchmarks.capacity", text)


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Let what is started inside run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drawn(addresses: list[str], photos: list[bytes], options: argparse.Namespace) -> dict[int, Times]:
    ways = {number: served(addresses[:number], CLIENTS, photos) for number in NUMBERS}
    for run in ways.values():
        run(1.0)  # warm-up
    taken = {number: Times() for number in NUMBERS}
    for _ in bar(range(options.rounds), desc="rounds", unit="round"):
        for number, run in ways.items():
            times = run(options.seconds)
            taken[number].seconds += times.seconds
            taken[number].rates += times.rates
    return taken


def _measured(taken: dict[int, Times], cores: int) -> tuple[str, float, float]:
    """Return the table, the pictures a second of one server, and the largest error of the model."""
    one = statistics.median(taken[1].rates)
    lines = ["| servers | cores | pictures a second | by the model | error |", "|---|---|---|---|---|"]
    errors = []
    for number, times in taken.items():
        used, rate = min(number, cores), statistics.median(times.rates)
        errors.append(abs(one * used / rate - 1))
        lines.append(f"| {number} | {used} | {rate:.2f} | {one * used:.2f} | {(one * used / rate - 1) * 100:+.0f} % |")
    return "\n".join(lines), one, max(errors)


def _carried_on(one: float, error: float, price: float, traffic: float, gateway: float | None, load: float) -> str:
    """Return the table of what more cores draw, cost and ask of what they share."""
    lines = [
        f"| cores | pictures a second, ±{error * 100:.0f} % | pictures a day at {BUSY:.0%} use | cost of a million"
        f" at {price:g} for a core's hour | network, Mbit/s | gateway, cores | new version everywhere after |",
        "|---|---|---|---|---|---|---|",
    ]
    for cores in CORES:
        rate = one * cores
        cost = 1e6 / (rate * BUSY * 3600) * cores * price
        through = "not measured" if gateway is None else f"{rate * gateway:.2f}"
        lines.append(
            f"| {cores} | {rate:,.0f} | {rate * BUSY * 86400 / 1e6:,.2f} million | {cost:.2f} | {rate * traffic * 8 / 1e6:,.0f} |"
            f" {through} | {_duration(cores * load)} |"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _load_seconds(server: Server) -> float:
    """Return how long a server takes to load its generator, while nobody calls."""
    control = Control(server.grpc, server.key)
    began = time.perf_counter()
    control.restart(GENERATOR)
    return time.perf_counter() - began


def _gateway_words(gateway: float | None) -> str:
    if gateway is None:
        return "nginx is not installed, so the gateway was not measured."
    return f"nginx, as a gateway for gRPC, used {gateway * 1000:.2f} ms of a core for it."


def _through_gateway(server: Server, photos: list[bytes], seconds: float, folder: Path) -> float | None:
    """Return the seconds of a core that nginx takes to pass a call on, or None if it is not installed."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        return None
    (port,) = free_ports(1)
    (folder / "logs").mkdir()
    places = "".join(
        f"{kind}_temp_path {folder}/logs; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; error_log stderr; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; client_max_body_size 0; {places}\n"
        f"server {{ listen {LOOPBACK}:{port} http2; location / {{ grpc_pass grpc://{server.grpc}; }} }} }}\n"
    )
    with subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(50):
                with contextlib.suppress(UserError):
                    if Client(f"{LOOPBACK}:{port}").version():
                        break
                time.sleep(0.1)
            before = _core_seconds(process.pid)
            drawn = len(served([f"{LOOPBACK}:{port}"], CLIENTS, photos)(seconds * 2).seconds)
            return (_core_seconds(process.pid) - before) / drawn
        finally:
            process.kill()


def _core_seconds(process: int) -> float:
    """Return the processor time of a process so far."""
    user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.capacity"):
        main()
