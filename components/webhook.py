"""Notifies an address that a run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from photo2cartoon.errors import UserError

TIMEOUT_SECONDS = 20
SUCCEEDED = {"SUCCEEDED", "COMPLETE"}  # what kfp documents, and what a cluster's driver says (Pipelines 2.17)


def notify(address: str, message: Mapping[str, str]) -> None:
    """Send a message as JSON by POST.

    Raises:
        UserError: nothing answers there, or it refuses the message. The line names the host alone, because the rest of
            a webhook's address is often a secret.
    """
    host = urlsplit(address).netloc.rpartition("@")[2]
    try:
        answer = requests.post(address, json=dict(message), timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise UserError(f"webhook at {host}: {type(error).__name__}") from None
    if not answer.ok:
        raise UserError(f"webhook at {host}: answered {answer.status_code} {answer.reason}")
