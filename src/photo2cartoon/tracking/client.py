"""MLflow's client: where runs are tracked, the experiment they belong to, and links to its page.

By default everything is stored in `var/` of the project, in sqlite; MLFLOW_TRACKING_URI selects a server. This module
imports MLflow late, because that takes seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from photo2cartoon.atomic import make_folder
from photo2cartoon.errors import UserError, without_credentials
from photo2cartoon.files import local_folder

EXPERIMENT = "photo2cartoon"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
# MLflow's page has one view for language models and one for model training. Its newer releases remember the choice in
# the browser, or take it from the address; others read the tag.
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
VIEW = "workflowType=machine_learning"
NOTE_TAG = "mlflow.note.content"
ABOUT = (
    "Portrait photographs to cartoons. Each row of **Runs** is one training with its stages below it; **Models** holds every"
    " scored checkpoint: show the columns of scores, sort by one, open the best. The alias `champion` of the registered"
    " model decides what is served."
)


def tracking_uri() -> str:
    """Return the URI where runs are tracked."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{(local_folder() / 'mlflow.db').resolve()}"


def track_at(uri: str) -> None:
    """Set the tracking URI from now on; an empty one leaves it unchanged."""
    if uri:
        os.environ[URI_VARIABLE] = uri


def connect() -> ModuleType:
    """Return the mlflow module, configured and quiet.

    Raises:
        UserError: the tracking URI has no scheme.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault(
        "MLFLOW_HTTP_REQUEST_TIMEOUT", "40"
    )  # seconds; MLflow's own 120 make a silent server 8 minutes
    # Transfer through the server: the address of its object storage is often unknown outside its network.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    warnings.filterwarnings("ignore", module="mlflow|alembic")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = tracking_uri()
    check_uri(uri)
    if uri.startswith("sqlite:///"):
        make_folder(Path(uri.removeprefix("sqlite:///")).parent)
    mlflow.set_tracking_uri(uri)
    return mlflow


def open_client() -> Any:
    """Open `mlflow.MlflowClient`.

    Raises:
        UserError: the tracking URI has no scheme or one that MLflow does not know, or its database cannot be opened.
    """
    mlflow = connect()
    with answering():
        return mlflow.MlflowClient()


def check_uri(uri: str) -> None:
    """Check that a tracking URI is no address without a scheme, which MLflow would take for a folder.

    Raises:
        UserError: it is one.
    """
    if re.match(r"[\w.-]+:\d+(/|$)", uri):
        raise UserError(f"{URI_VARIABLE}: '{uri}' has no scheme: http://{uri}?")


def unreachable(error: Exception) -> UserError:
    """Make a one-line error that names the server and what MLflow could not do."""
    return UserError(f"MLflow at {tracking_uri()}: {error}")


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn errors of MLflow within the block into a one-line error.

    Raises:
        UserError: MLflow cannot be reached, or refuses the request.
    """
    from mlflow import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:  # a database that is none, or of another kind
        raise unreachable(getattr(error, "orig", None) or error) from None
    except (MlflowException, OSError) as error:
        raise unreachable(error) from None


def experiment(client: Any) -> str:
    """Return the id of the project's experiment, which is created if missing.

    Args:
        client: `mlflow.MlflowClient`.

    Raises:
        UserError: MLflow cannot be reached.
    """
    with answering():
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            uri = tracking_uri()
            # A database does not say where artifacts go; the folder beside it is where a person would look.
            local = uri.startswith("sqlite:///")
            place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri() if local else None
            number, tags = client.create_experiment(EXPERIMENT, artifact_location=place), {}
        else:
            number, tags = found.experiment_id, found.tags
        for key, value in {KIND_TAG: KIND, NOTE_TAG: ABOUT}.items():
            if key not in tags:
                client.set_experiment_tag(number, key, value)
        return number


def link(path: str) -> str | None:
    """Return the address of a part of MLflow's page, such as `experiments/1/runs/ID`; None if no server is used."""
    uri = tracking_uri()
    uri = without_credentials(uri).replace("***@", "")
    return f"{uri.rstrip('/')}/#/{path}?{VIEW}" if uri.startswith(("http://", "https://")) else None
