"""MLflow's server, asked without MLflow's own package, which takes seconds to import."""

from __future__ import annotations

import urllib.error
import urllib.request

from photo2cartoon.errors import UserError
from photo2cartoon.tracking.client import URI_VARIABLE, tracking_uri

TIMEOUT_SECONDS = 20.0
QUESTION = "api/2.0/mlflow/experiments/search?max_results=1"  # `health` and `version` answer to every host name


def must_answer(uri: str = "") -> None:
    """Check that MLflow answers; a database or a folder is not looked at.

    Args:
        uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.

    Raises:
        UserError: it does not answer, or it refuses the host name.
    """
    uri = (uri or tracking_uri()).rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{uri}/{QUESTION}", timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return  # it is there; credentials are the client's matter
        host = uri.split("://", 1)[1].split("/", 1)[0]
        hint = f"; start it with --allowed-hosts {host}" if error.code == 403 else ""
        raise UserError(f"MLflow at {uri}: answered {error.code} {error.reason}{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"MLflow at {uri}: does not answer ({reason}); {URI_VARIABLE} names it") from None
