"""When a run has ended, nothing of it stays open: MLflow's runs are closed, and whoever waits is notified."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.finish import finish
from photo2cartoon.tracking import runs
from photo2cartoon.tracking.client import connect
from photo2cartoon.tracking.lineage import KUBEFLOW_RUN
from tests.conftest import ROOT
from tests.pipelines.servers import JsonAnswers, served


class Chat(JsonAnswers, BaseHTTPRequestHandler):
    """Keeps the messages that it gets."""

    def do_POST(self):
        self.server.messages.append(self.body())
        self.answer({}, self.server.status)


@pytest.fixture
def chat():
    with served(Chat) as server:
        server.messages, server.status = [], 200
        yield server


def ended(state, webhook="", error=""):
    status = PipelineTaskFinalStatus(state, "job", "steps", None, error)
    finish.python_func(status, "", webhook, False, "")


def test_the_train_job_is_removed_where_it_was_made(monkeypatch):
    monkeypatch.setenv(KUBEFLOW_RUN, "run-1")
    removed = []
    monkeypatch.setattr("components.train_job_submit.delete_jobs_of", lambda *given: removed.append(given))
    for namespace in ("", "training"):
        finish.python_func(PipelineTaskFinalStatus("CANCELED", "job", "steps", None, ""), "", "", True, namespace)
    assert removed == [("run-1", None), ("run-1", "training")]


def test_a_lost_pods_run_is_closed_and_the_webhook_notified(chat, monkeypatch):
    monkeypatch.setenv(KUBEFLOW_RUN, "run-1")
    lost, other = (runs.begin("train", None, name).run for name in ("lost", "other"))
    lost.tags({"kubeflow_run": "run-1"})
    other.tags({"kubeflow_run": "run-2"})
    ended("FAILED", chat.host, "train failed")
    status = {run: connect().MlflowClient().get_run(run.run_id).info.status for run in (lost, other)}
    assert status == {lost: "FAILED", other: "RUNNING"}
    assert chat.messages == [
        {"pipeline": "photo2cartoon", "run": "run-1", "state": "FAILED", "error": "train failed"}
    ]  # fmt: skip


def test_a_run_that_succeeded_is_not_told_as_failed(chat, monkeypatch):
    """Pipelines 2.17 says COMPLETE, not SUCCEEDED."""
    monkeypatch.setenv(KUBEFLOW_RUN, "run-3")
    lost = runs.begin("train", None, "lost").run
    lost.tags({"kubeflow_run": "run-3"})
    ended("COMPLETE", chat.host)
    assert connect().MlflowClient().get_run(lost.run_id).info.status == "FINISHED"
    ended("RUNNING", chat.host)  # what it says when the run has exceeded its deadline
    assert [message["state"] for message in chat.messages] == ["SUCCEEDED", "FAILED"]


def test_an_address_that_refuses_is_named_without_its_secret(chat, capsys):
    chat.status = 410
    with pytest.raises(SystemExit):
        ended("SUCCEEDED", f"{chat.host}/hooks/secret")
    told = capsys.readouterr().err
    assert told == f"finish: webhook at {chat.host.removeprefix('http://')}: answered 410 Gone\n"


def test_modules_that_steps_import_load_inside_a_step():
    """Inside a step kfp.dsl has no decorators; a real Kubeflow failed on the import."""
    for name in ("components.webhook", "components.train_job_submit"):
        environment = {**os.environ, "_KFP_RUNTIME": "true"}
        command = [sys.executable, "-c", f"import {name}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
