"""MLflow's server, asked without MLflow's own package, which takes seconds to import."""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request

from photo2cartoon.errors import UserError, without_credentials
from photo2cartoon.tracking.client import URI_VARIABLE, check_uri, tracking_uri

TIMEOUT_SECONDS = 20.0
QUESTION = "api/2.0/mlflow/experiments/search?max_results=1"  # `health` and `version` answer to every host name


def must_answer(uri: str = "") -> None:
    """Check that MLflow answers; a database or a folder is not looked at.

    Args:
        uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.

    Raises:
        UserError: it does not answer, it refuses the host name, or the URI has no scheme.
    """
    uri = (uri or tracking_uri()).rstrip("/")
    check_uri(uri)
    if not uri.startswith(("http://", "https://")):
        return
    shown = without_credentials(uri)
    try:
        with urllib.request.urlopen(_request(f"{uri}/{QUESTION}"), timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return  # it is there; credentials are the client's matter
        host = uri.split("://", 1)[1].split("/", 1)[0].rpartition("@")[2]
        hint = f"; start it with --allowed-hosts {host}" if error.code == 403 else ""
        raise UserError(f"MLflow at {shown}: answered {error.code} {error.reason}{hint}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise UserError(f"MLflow at {shown}: does not answer ({reason}); {URI_VARIABLE} names it") from None


def _request(url: str) -> urllib.request.Request:
    """Make a request that sends the user and password of a URL as MLflow's client does."""
    scheme, rest = url.split("://", 1)
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    request = urllib.request.Request(f"{scheme}://{host}{slash}{path}")
    if at:
        encoded = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    return request
