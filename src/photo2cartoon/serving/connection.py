"""Connections to a Triton server: plain or by TLS, with the server's token."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError

SECURE = "grpcs://"
TOKEN = "P2C_TRITON_TOKEN"  # variable with the token that a server asks for
AUTHORITY = "P2C_TRITON_CA"  # variable with the file of certificates that a server's is checked with
_HEADER = "p2c-token"


def connect(
    server: str, module: Any = None, name: str | None = None, authority: str | None = None, token: str | None = None
) -> Any:
    """Open a gRPC client of tritonclient.

    Args:
        server: HOST:PORT, or grpcs://HOST:PORT for TLS.
        module: `tritonclient.grpc`, which is the default, or `tritonclient.grpc.aio`.
        name: the name that the server's certificate must have; None is HOST.
        authority: file of certificates to check the server's with; None is the file in P2C_TRITON_CA, or the system's.
        token: that the server asks for; None is P2C_TRITON_TOKEN, if there is one.

    Raises:
        UserError: the address is no such one, the file cannot be read, or the token is weak, see `check_secret`.
    """
    if module is None:
        from tritonclient import grpc

        module = grpc
    address = server.removeprefix(SECURE)
    options: dict[str, Any] = {}
    if server.startswith(SECURE):
        authority = authority or os.environ.get(AUTHORITY) or ssl.get_default_verify_paths().cafile
        if authority and not (Path(authority).is_file() and os.access(authority, os.R_OK)):
            raise UserError(f"{authority}: is no file that can be read")
        options = {"ssl": True, "root_certificates": authority}
        if name:
            options["channel_args"] = [("grpc.ssl_target_name_override", name)]
    try:
        client = module.InferenceServerClient(address, **options)
    except ValueError as error:
        raise UserError(f"{server}: not HOST:PORT: {error}") from None
    if token := (token or os.environ.get(TOKEN, "")).strip():
        check_secret(TOKEN, token)
        client.register_plugin(_Token(token))
    return client


def token_option(protocol: str, token: str) -> str:
    """Return Triton's option that restricts inference to whoever sends a token, for `grpc` or `http`."""
    kind = {"grpc": "grpc-restricted-protocol", "http": "http-restricted-api"}[protocol]
    return f"--{kind}=inference:{_HEADER}={token}"


def connect_here(server: str, certificate: Path | None, token: str | None = None) -> Any:
    """Open a client of a server on this machine, whatever name its certificate is for.

    Args:
        server: as for `connect`; with a certificate also HOST:PORT.
        certificate: the server's own; None is a server without TLS.
        token: as for `connect`.

    Raises:
        UserError: as for `connect` and `certificate_name`.
    """
    if certificate is None:
        return connect(server, token=token)
    secure = SECURE + server.removeprefix(SECURE)
    return connect(secure, None, certificate_name(certificate), str(certificate), token)


def tls_options(files: tuple[Path, Path] | None) -> list[str]:
    """Return Triton's options for TLS on its gRPC port with a certificate and its key.

    Raises:
        UserError: a file cannot be read, the certificate has no name, or the key is another's.
    """
    if files is None:
        return []
    certificate, key = files
    certificate_name(certificate)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise UserError(f"{key}: is no PEM key of {certificate}, or needs a password: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{key}: cannot be read: {error.strerror}") from None
    return ["--grpc-use-ssl=true", f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"]


def read_token(file: Path | None) -> str | None:
    """Return the token of a file, else P2C_TRITON_TOKEN, else None.

    Raises:
        UserError: the file cannot be read, or the token is weak, see `check_secret`.
    """
    token = os.environ.get(TOKEN, "").strip() or None
    if file is not None:
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: the token cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if token is not None:
        check_secret(str(file or TOKEN), token)
    return token


def check_secret(place: str, secret: str) -> None:
    """Check a key or token that Triton gets on its command line.

    Args:
        place: where it comes from, for the error.
        secret: itself.

    Raises:
        UserError: it is shorter than 16 characters, or has others than letters, digits, `-` and `_`.
    """
    if len(secret) < 16 or not secret.replace("-", "").replace("_", "").isalnum() or not secret.isascii():
        raise UserError(f"{place}: has to be at least 16 letters, digits, - or _; `openssl rand -hex 16` prints such")


def certificate_name(certificate: Path) -> str:
    """Return the first name that a certificate is for.

    Raises:
        UserError: the file cannot be read, is no certificate, has expired, or has no name.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except OSError as error:
        raise UserError(f"{certificate}: cannot be read: {error.strerror}") from None
    except (ValueError, x509.ExtensionNotFound):
        raise UserError(f"{certificate}: is no PEM certificate with a name (subjectAltName)") from None
    if found.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise UserError(f"{certificate}: expired on {found.not_valid_after_utc:%Y-%m-%d}")
    listed = names.get_values_for_type(x509.DNSName) or [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]
    if not listed:
        raise UserError(f"{certificate}: is no PEM certificate with a name (subjectAltName)")
    return listed[0].replace("*", "any")


class _Token:
    """Plugin of tritonclient: adds the token to every call."""

    def __init__(self, token: str) -> None:
        self._headers = {f"triton-grpc-protocol-{_HEADER}": token}

    def __call__(self, request: Any) -> None:
        request.headers.update(self._headers)
