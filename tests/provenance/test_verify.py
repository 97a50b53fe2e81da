"""Whatever leaves says, readable by machines, that a model made it; `p2c verify` reads it, signed or not."""

import datetime
import io
import os
import socket
import struct
import zlib

import av
import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from photo2cartoon.cartoonize.video import CONTAINERS, cartoonize_video
from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PortraitMaker
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.provenance import credentials, film
from photo2cartoon.provenance.encode import FORMATS, FormatError, encode
from photo2cartoon.provenance.mark import COMPOSITE, GENERATED, Mark, read_packet
from photo2cartoon.provenance.verify import verify
from tests.films import shots, write

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.fixture
def certificate(tmp_path, monkeypatch, request):
    """A certificate of one's own, as an operator without one of a trust list makes it; named by the environment."""
    now = datetime.datetime.now(datetime.UTC)
    root, own = KEYS["P-256"](), KEYS[getattr(request, "param", "P-256")]()

    def name(common):
        attributes = (x509.NameOID.ORGANIZATION_NAME, "Studio"), (x509.NameOID.COMMON_NAME, common)
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])

    def certified(key, common, authority):
        built = x509.CertificateBuilder(name("Root"), name(common), key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9))
        built = built.add_extension(x509.BasicConstraints(authority, None), True)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            False,
        )  # fmt: skip
        usage |= {"digital_signature": not authority, "key_cert_sign": authority, "crl_sign": False}
        built = built.add_extension(x509.KeyUsage(**usage), True)
        if not authority:
            built = built.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
        return built.add_extension(key_id, False).sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (tmp_path / "chain.pem").write_bytes(certified(own, "Press", False) + certified(root, "Root", True))
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(own.private_bytes(*private))
    monkeypatch.setenv(credentials.CERTIFICATE, str(tmp_path / "chain.pem"))
    monkeypatch.setenv(credentials.KEY, str(tmp_path / "key.pem"))


@pytest.mark.parametrize("composite", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_a_mark_costs_no_pixel_and_is_read_again(tmp_path, form, composite):
    mark = Mark('version 3 & "<more>"', composite)
    path = tmp_path / f"cartoon.{form}"
    path.write_bytes(encode(PICTURE, form, mark))
    plain = np.asarray(Image.open(io.BytesIO(encode(PICTURE, form, None))))
    assert np.array_equal(np.asarray(Image.open(path)), plain)
    found = verify(path)
    assert (found.mark, found.credentials) == (mark, None)
    assert (COMPOSITE if composite else GENERATED).encode() in path.read_bytes()
    with Image.open(path) as image:
        assert not image.getexif() and "icc_profile" not in image.info


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_video_is_marked_and_still_plays(weights, astronaut, tmp_path, suffix):
    """Where and when it was filmed does not leave with it."""
    portrait = cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)
    film = write(tmp_path / "film.mp4", shots(portrait, 3))
    filmed = tmp_path / "filmed.mp4"
    with av.open(str(film)) as source, av.open(str(filmed), "w") as out:
        out.metadata.update({"location": "+48.8584+002.2945/", "comment": "at home"})
        streams = {stream: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                out.mux(packet)
    assert b"loci" in filmed.read_bytes() and b"at home" in filmed.read_bytes()
    maker = PortraitMaker.from_weights(weights, check=False)
    out = tmp_path / f"cartoon{suffix}"
    for paste in (False, True):
        options = DrawOptions(paste=paste)
        cartoonize_video(
            filmed, out, maker.finder, maker.cut, lambda portraits, _: on_white(portraits), options, version="version 3"
        )
        assert verify(out).mark == Mark("version 3", composite=paste)
        with av.open(str(out)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 3
        assert b"loci" not in out.read_bytes() and b"at home" not in out.read_bytes()


def test_nothing_of_the_photographs_own_metadata_leaves(weights, hopper, p2c, tmp_path):
    with Image.open(hopper) as image:
        exif = Image.Exif()
        exif[0x010F], exif[0x8298] = "Camera of somebody", "Copyright of somebody"
        image.save(tmp_path / "photo.jpg", exif=exif, comment=b"taken at home")
    for out in ("cartoon.jpg", "cartoon.png", "cartoon.webp"):
        p2c("cartoonize", "photo.jpg", "--model", "slim", "--weights", weights, "--paste", "--out", out)
        content = (tmp_path / out).read_bytes()
        assert b"somebody" not in content and b"at home" not in content
    said = p2c("verify", "cartoon.jpg", "cartoon.png", "cartoon.webp").stdout.splitlines()
    assert [line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in said] == [
        "a photograph with generated parts, by photo2cartoon slim"
    ] * 3


@pytest.mark.usefixtures("certificate")
@pytest.mark.parametrize("form", FORMATS)
def test_signed_files_show_when_they_were_altered(tmp_path, form):
    path = tmp_path / f"cartoon.{form}"
    mark = Mark("version 3", composite=True)
    path.write_bytes(encode(PICTURE, form, mark))
    found = verify(path)
    assert found.mark == mark and found.credentials.source == mark.source
    assert found.credentials.unaltered and not found.credentials.trusted
    assert found.credentials.issuer == "Studio, Press"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1  # in the last rows of the picture
    path.write_bytes(content)
    assert not verify(path).credentials.unaltered


@pytest.mark.parametrize("certificate", KEYS, indirect=True)
@pytest.mark.usefixtures("certificate")
def test_every_kind_of_key_signs(tmp_path):
    path = tmp_path / "cartoon.png"
    path.write_bytes(encode(PICTURE, "png", Mark("version 3")))
    assert verify(path).credentials.unaltered


@pytest.mark.usefixtures("certificate")
def test_a_signed_film(weights, astronaut, p2c, tmp_path):
    portrait = cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)
    film = write(tmp_path / "film.mp4", shots(portrait, 3))
    p2c("cartoonize", film, "--model", "slim", "--weights", weights, "--out", "cartoon.mp4")
    said = p2c("verify", "cartoon.mp4").stdout
    assert said.startswith("cartoon.mp4: generated, by photo2cartoon slim ")
    assert "unaltered since it was signed by Studio, Press, whose certificate is on no trust list" in said


def test_a_mark_of_other_software_is_read():
    def packet(inside):
        return (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
            f"{inside}</rdf:Description></rdf:RDF></x:xmpmeta>"
        ).encode()

    resource = f'<i:DigitalSourceType rdf:resource="{GENERATED}"/><i:AISystemUsed>Other 2</i:AISystemUsed>'
    assert read_packet(packet(resource)) == Mark("", False, "Other 2")
    assert read_packet(packet(f"<i:DigitalSourceType>{COMPOSITE}</i:DigitalSourceType>")) == Mark("", True, "")
    camera = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    assert read_packet(packet(f"<i:DigitalSourceType>{camera}</i:DigitalSourceType>")) is None
    for bad in (b"<x", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', b"<x>" + b" " * 70_000 + b"</x>"):
        with pytest.raises(ValueError, match="XMP packet"):
            read_packet(bad)


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_an_address_in_the_file_is_not_asked(monkeypatch, form):
    """Whoever sent the file would see who reads it, or reach what only this machine reaches."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.5)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a.c2pa"
        packet = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        monkeypatch.setattr(Mark, "packet", lambda _: packet.encode())
        with pytest.raises(ValueError, match="are stored elsewhere, which is not asked"):
            credentials.read(io.BytesIO(encode(PICTURE, form, Mark("", False))), f"image/{form}")
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.parametrize(("form", "side"), [("webp", 16_383), ("jpeg", 65_500)])
def test_a_picture_that_a_format_cannot_hold_is_refused(form, side):
    assert encode(np.zeros((1, side, 3), np.uint8), form, None)
    with pytest.raises(
        FormatError, match=f"{form} has at most {side} pixels a side, the picture has {side + 1}; choose PNG"
    ):
        encode(np.zeros((1, side + 1, 3), np.uint8), form, None)


def test_what_cannot_be_verified_is_named(p2c, tmp_path):
    (tmp_path / "plain.png").write_bytes(encode(PICTURE, "png", None))
    (tmp_path / "no.png").write_bytes(b"no picture")
    (tmp_path / "short.mp4").write_bytes(b"\0\0\1\0ftypisom")
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        container.metadata.update(film.tags(Mark("version 1")))
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert film.read_mark(tmp_path / "film.mkv") == Mark("version 1")
    (tmp_path / "list.mkv").write_text("ffconcat version 1.0\nfile film.mkv\n")
    done = p2c("verify", "plain.png", code=1)
    assert (done.stdout, done.stderr) == ("plain.png: no mark of generated content\n", "")
    for name, said in (
        ("nowhere.png", "nowhere.png: no such file"),
        ("plain.txt", "plain.txt: name ends in '.txt', expected .png"),
        ("no.png", "no.png: cannot identify image file"),
        ("short.mp4", "short.mp4: not a whole MP4 or MOV file"),
        ("list.mkv", "list.mkv: not a readable video"),
    ):
        if name == "plain.txt":
            (tmp_path / name).touch()
        done = p2c("verify", name, code=1)
        assert done.stderr.startswith(f"p2c: {said}") and len(done.stderr.splitlines()) == 1


def test_a_picture_of_too_many_pixels_is_named(tmp_path):
    ihdr = struct.pack(">II5B", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(UserError, match=r"large\.png: .*200000000 pixels"):
        verify(tmp_path / "large.png")


def test_an_unsigned_film_is_not_read_into_memory(tmp_path):
    """A film of an hour has gigabytes."""
    path = tmp_path / "film.mp4"
    path.write_bytes(struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\0\0" + struct.pack(">I4sQ", 1, b"mdat", 1 << 40))
    os.truncate(path, 16 + (1 << 40))  # a sparse terabyte, which no memory holds
    film.mark_file(path, ".mp4", Mark("version 1"))
    assert film.read_mark(path) == Mark("version 1")


@pytest.mark.usefixtures("certificate")
def test_a_certificate_that_cannot_sign_is_named(tmp_path, monkeypatch):
    for content, said in ((b"no key", "cannot be read"), (None, "cannot be read")):
        (tmp_path / "other.pem").unlink(missing_ok=True)
        if content:
            (tmp_path / "other.pem").write_bytes(content)
        monkeypatch.setenv(credentials.KEY, str(tmp_path / "other.pem"))
        with pytest.raises(UserError, match=rf"content credentials: .*other\.pem {said}"):
            encode(PICTURE, "png", Mark("version 3"))
    monkeypatch.delenv(credentials.KEY)
    with pytest.raises(UserError, match="are set together or not at all"):
        encode(PICTURE, "png", Mark("version 3"))
