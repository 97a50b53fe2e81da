"""C2PA content credentials: signs generated files, so that whoever reads one sees who made it and whether it was altered.

Only with a certificate of one's own: P2C_C2PA_CERT names the chain, P2C_C2PA_KEY the private key, both PEM.
"""

from __future__ import annotations

import functools
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from photo2cartoon.errors import UserError
from photo2cartoon.provenance.mark import Mark

CERTIFICATE, KEY = "P2C_C2PA_CERT", "P2C_C2PA_KEY"
UNTRUSTED = "signingCredential.untrusted"  # the certificate is on no trust list; the signature itself is valid


@dataclass(frozen=True)
class Credentials:
    """Content credentials found in a file.

    Args:
        issuer: organisation of the signing certificate, and its holder's name.
        unaltered: whether signature and content agree.
        trusted: whether a trust list has the certificate.
        source: IPTC's DigitalSourceType that they name; empty for none.
    """

    issuer: str
    unaltered: bool
    trusted: bool
    source: str


def is_wanted() -> bool:
    """Return whether the environment names a certificate or a key."""
    return bool(os.environ.get(CERTIFICATE) or os.environ.get(KEY))


def sign(content: bytes, mime: str, mark: Mark) -> bytes:
    """Add content credentials to an encoded file, if the environment names a certificate.

    Args:
        content: PNG, JPEG, WebP or MP4.
        mime: its MIME type.
        mark: what the credentials say.

    Raises:
        UserError: certificate or key are missing, cannot be read, or do not belong together.
    """
    if not is_wanted():
        return content
    signed = io.BytesIO()
    sign_stream(io.BytesIO(content), signed, mime, mark)
    return signed.getvalue()


def sign_stream(source: BinaryIO, target: BinaryIO, mime: str, mark: Mark) -> None:
    """Copy an encoded file with content credentials, by the certificate that the environment names.

    Args:
        source, target: open at their beginnings; a film need not fit into memory.
        mime, mark: as for `sign`.

    Raises:
        UserError: as for `sign`.
    """
    chain, key = os.environ.get(CERTIFICATE), os.environ.get(KEY)
    if not chain or not key:
        raise UserError(f"content credentials: {CERTIFICATE} and {KEY} are set together or not at all")
    import c2pa

    agent = {"name": mark.system, "version": mark.version}
    action = {"action": "c2pa.created", "digitalSourceType": mark.source, "softwareAgent": agent}
    manifest = {
        "claim_generator_info": [{"name": mark.system}],
        "format": mime,
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    signer, context = _signer(chain, key)
    try:
        with c2pa.Builder(manifest, context) as builder:
            builder.sign(signer, mime, source, target)
    except c2pa.C2paError as error:
        raise UserError(f"content credentials: cannot sign with {chain} and {key}: {error}") from None


def _offline() -> Any:
    """Return settings with which the library asks no address that a file names."""
    import c2pa

    return c2pa.Context(c2pa.Settings.from_dict({"verify": {"remote_manifest_fetch": False}}))


def read(file: BinaryIO, mime: str) -> Credentials | None:
    """Read the content credentials of an open file; None if it has none.

    An address of credentials that are stored elsewhere is not fetched: the file comes from a stranger.

    Raises:
        ValueError: they cannot be read.
    """
    import c2pa

    try:
        with c2pa.Reader(mime, file, context=_offline()) as reader:
            found = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        if "remote manifest" in str(error):
            raise ValueError("its content credentials are stored elsewhere, which is not asked") from None
        raise ValueError(f"its content credentials cannot be read: {error}") from None
    manifest = found["manifests"][found["active_manifest"]]
    signature = manifest.get("signature_info", {})
    problems = {status["code"] for status in found.get("validation_status", [])}
    actions = [action for each in manifest.get("assertions", []) for action in each.get("data", {}).get("actions", [])]
    return Credentials(
        issuer=", ".join(filter(None, (signature.get("issuer"), signature.get("common_name")))),
        unaltered=not problems - {UNTRUSTED},
        trusted=UNTRUSTED not in problems,
        source=next((action["digitalSourceType"] for action in actions if "digitalSourceType" in action), ""),
    )


@functools.cache
def _signer(chain: str, key: str) -> tuple[Any, Any]:
    import c2pa
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificates, private = Path(chain).read_bytes(), Path(key).read_bytes()
        kind = load_pem_private_key(private, None)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"content credentials: {chain} or {key} cannot be read: {error}") from None
    if isinstance(kind, ec.EllipticCurvePrivateKey):
        algorithm = f"es{kind.curve.key_size}".replace("521", "512")
    else:
        algorithm = "ed25519" if isinstance(kind, ed25519.Ed25519PrivateKey) else "ps256"
    try:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm.encode(), certificates, private, None))
    except c2pa.C2paError as error:
        raise UserError(f"content credentials: cannot sign with {chain} and {key}: {error}") from None
    # No thumbnail, which is as large as the picture, and no second reading of what was just written.
    own = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
    return signer, c2pa.Context(c2pa.Settings.from_dict(own))
