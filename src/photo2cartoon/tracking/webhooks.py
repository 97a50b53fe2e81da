"""Webhooks of MLflow's server: it calls an address when an alias is moved."""

from __future__ import annotations

import contextlib

from photo2cartoon.errors import first_line
from photo2cartoon.tracking.client import connect

EVENTS = ("model_version_alias.created", "model_version_alias.deleted")


def subscribe(name: str, address: str) -> str:
    """Ask MLflow to call an address whenever an alias is set or removed.

    By default MLflow calls only https addresses that are public; its administrator decides about others.

    Args:
        name: name of the webhook; one of the same name is replaced.
        address: where MLflow reaches us.

    Returns:
        Why MLflow does not do it; empty if it does.
    """
    mlflow = connect()
    try:
        unsubscribe(name)
        mlflow.MlflowClient().create_webhook(name, address, list(EVENTS))
    except (mlflow.MlflowException, NotImplementedError, OSError) as error:  # a store without webhooks has no method
        return first_line(error)
    return ""


def unsubscribe(name: str) -> None:
    """Remove the webhook of this name, if MLflow has it."""
    mlflow = connect()
    # A store without webhooks has no method for them; one that does not answer cannot be asked to remove any.
    with contextlib.suppress(mlflow.MlflowException, NotImplementedError, OSError):
        client = mlflow.MlflowClient()
        for webhook in client.list_webhooks(max_results=100):
            if webhook.name == name:
                client.delete_webhook(webhook.webhook_id)
