"""A server that others can reach has a certificate and asks for a token; clients are told what they lack."""

import datetime
import urllib.error
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from photo2cartoon.errors import UserError
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.call import WARM_UP
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.connection import AUTHORITY, TOKEN, read_token, tls_options
from photo2cartoon.serving.control import VARIABLE
from photo2cartoon.serving.messages import ServerError
from photo2cartoon.serving.repository import promote
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stub_watch import processes
from tests.serving.conftest import MODEL

SECRET = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Files of an authority, and of a certificate for localhost and its key."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])

    def certificate(subject, key, extension, days=1, since=-3):
        made = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days=since))
        made = made.not_valid_after(now + datetime.timedelta(days=days)).add_extension(extension, critical=True)
        return made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = x509.SubjectAlternativeName([x509.DNSName("*.cartoons.example"), x509.DNSName("localhost")])
    (folder / "authority.pem").write_bytes(certificate(issuer, keys[0], x509.BasicConstraints(True, None)))
    (folder / "server.pem").write_bytes(certificate(x509.Name([]), keys[1], names))
    (folder / "expired.pem").write_bytes(certificate(x509.Name([]), keys[1], names, days=-1))
    (folder / "future.pem").write_bytes(certificate(x509.Name([]), keys[1], names, days=2, since=1))
    for name, key in zip(("authority.key", "server.key"), keys, strict=True):
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / name).write_bytes(key.private_bytes(*encoding))
    return folder


@pytest.fixture(scope="module")
def server(repository, weights, certificates, tmp_path_factory):
    """A server on TLS that asks for a token; it knows its own, whatever the certificate is for."""
    tls = certificates / "server.pem", certificates / "server.key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "a-key-for-the-tests")
        run = tmp_path_factory.mktemp("run")
        with Server(repository, run, Ports.free(), weights, None, tls=tls, token=SECRET) as running:
            yield running


@pytest.fixture
def address(server, certificates, monkeypatch):
    """Its address, for clients that have what they need."""
    monkeypatch.setenv(AUTHORITY, str(certificates / "authority.pem"))
    monkeypatch.setenv(TOKEN, SECRET)
    return f"grpcs://localhost:{server.ports.grpc}"


def test_with_certificate_and_token_cartoons_are_drawn(server, address, certificates, p2c, tmp_path):
    import asyncio

    async def draw():
        async with AsyncClient(address) as client:
            return await client.cartoonize(WARM_UP.read_bytes())

    assert asyncio.run(draw()) == Client(address).cartoonize(WARM_UP.read_bytes())
    assert Client(address).has_drawn()
    p2c("cartoonize", WARM_UP, "--server", address, "--out", "cartoon.png")
    assert (tmp_path / "cartoon.png").stat().st_size > 10_000
    promote(server.repository, MODEL, address)
    own = {"P2C_TLS_CERTIFICATE": str(certificates / "server.pem"), AUTHORITY: "", TOKEN: ""}
    p2c("ready", "--server", f"127.0.0.1:{server.ports.grpc}", **own)
    (line,) = (words for words in _command_lines() if f"--grpc-port={server.ports.grpc}" in words)
    assert "--grpc-use-ssl=true" in line and processes(server.process.pid)["gate"] == 1


def _command_lines():
    from pathlib import Path

    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield place.read_text(errors="replace").split("\0")
        except OSError:
            continue


def test_clients_are_told_what_they_lack(server, address, certificates, monkeypatch):
    def refusal(where=address):
        with pytest.raises(UserError) as caught:
            Client(where).cartoonize(WARM_UP.read_bytes(), timeout=10)
        return str(caught.value)

    for wrong in ("another-token-of-somebody", ""):
        monkeypatch.setenv(TOKEN, wrong)
        assert refusal() == f"Triton at {address}: wants a token: give it by P2C_TRITON_TOKEN"
    monkeypatch.setenv(TOKEN, SECRET)
    elsewhere = f"grpcs://127.0.0.1:{server.ports.grpc}"
    assert refusal(elsewhere) == f"Triton at {elsewhere}: its certificate is for another name"
    monkeypatch.delenv(AUTHORITY)
    assert "its certificate is not trusted: P2C_TRITON_CA names" in refusal()
    monkeypatch.setenv(AUTHORITY, str(certificates / "nothing.pem"))
    assert refusal() == f"{certificates}/nothing.pem: is no file that can be read"
    monkeypatch.setenv(AUTHORITY, str(certificates))
    assert refusal() == f"{certificates}: is no file that can be read"
    monkeypatch.setenv(AUTHORITY, str(certificates / "authority.pem"))
    monkeypatch.setenv(TOKEN, "weak")
    assert refusal() == f"{TOKEN}: has to be at least 16 letters, digits, - or _; `openssl rand -hex 16` prints such"
    monkeypatch.setenv(TOKEN, SECRET + "\n")  # as secrets made from files have it
    assert Client(address).cartoonize(WARM_UP.read_bytes())
    with pytest.raises(ServerError):  # no TLS
        Client(f"localhost:{server.ports.grpc}").cartoonize(WARM_UP.read_bytes(), timeout=1)
    infer = urllib.request.Request(f"http://127.0.0.1:{server.ports.http}/v2/models/photo2cartoon/infer", b"{}")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(infer)


def test_files_that_cannot_be_used_are_named_before_anything_starts(certificates, repository, weights, tmp_path):
    (tmp_path / "text").write_text("no certificate")
    key, certificate = certificates / "server.key", certificates / "server.pem"
    for files, said in (
        ((tmp_path / "none", key), "none: cannot be read: No such file"),
        ((tmp_path / "text", key), "text: is no PEM certificate with a name"),
        ((certificates / "authority.pem", certificates / "authority.key"), "is no PEM certificate with a name"),
        ((certificates / "expired.pem", key), r"expired.pem: expired on \d{4}-\d\d-\d\d"),
        ((certificate, tmp_path / "none"), "none: cannot be read: No such file"),
        ((certificate, certificates / "authority.key"), "authority.key: is no PEM key of .*server.pem"),
    ):
        with pytest.raises(UserError, match=said):
            tls_options(files)
    http_too = Server(
        repository, tmp_path, Ports.free(), weights, None, host="0.0.0.0", http=True, tls=(certificate, key)
    )
    with pytest.raises(UserError, match="Triton has no TLS for HTTP"):
        http_too.start()


def test_a_certificate_that_fails_its_own_check_ends_the_start_at_once(certificates, repository, weights, tmp_path):
    tls = certificates / "future.pem", certificates / "server.key"
    with pytest.raises(UserError, match=r"future.pem: fails its own check: .*not yet valid"):
        Server(repository, tmp_path, Ports.free(), weights, None, tls=tls).start()


def test_a_token_is_read_from_a_file_or_the_environment(tmp_path, monkeypatch, p2c):
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN, "")  # as compose passes one on that is not set
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN, SECRET)
    assert read_token(None) == SECRET
    (tmp_path / "token").write_text("another-token-in-a-file\n")
    assert read_token(tmp_path / "token") == "another-token-in-a-file"
    (tmp_path / "token").write_text("weak")
    with pytest.raises(UserError, match=r"token: has to be at least 16 letters, digits, - or _"):
        read_token(tmp_path / "token")
    done = p2c("serve", "--tls-key", "key.pem", code=1)
    assert done.stderr == "p2c: serve: --tls-certificate and --tls-key are used together\n"
