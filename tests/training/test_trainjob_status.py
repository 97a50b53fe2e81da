"""Progress of training is reported to Kubeflow Trainer, as its API takes it, and only where there is one."""

from datetime import datetime
from http.server import BaseHTTPRequestHandler

import pytest
from kubeflow_trainer_api import models

from photo2cartoon.training.trainjob_status import CERTIFICATE, TOKEN, URL, TrainJobStatus
from tests.pipelines.servers import JsonAnswers, served


class Server(JsonAnswers, BaseHTTPRequestHandler):
    """Keeps the reports that carry the token."""

    def do_POST(self):
        if self.headers["Authorization"] == "Bearer secret":
            self.server.reports.append(self.body())
        self.answer({}, self.server.status)


@pytest.fixture
def trainer(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with served(Server) as server:
        server.reports, server.status = [], 200
        server.environment = {URL: f"{server.host}/status", CERTIFICATE: "", TOKEN: str(tmp_path / "token")}
        yield server


def test_progress_is_reported_at_most_every_quarter_of_a_minute(trainer):
    now = [0.0]
    status = TrainJobStatus(trainer.environment, clock=lambda: now[0])
    for step, second in ((1, 0), (2, 5), (3, 20), (4, 21)):
        now[0] = second
        status.report(step, 4, 60.4, {"generator/total": 1 / 3})
    status.close()
    shown = [report["trainerStatus"] for report in trainer.reports]
    assert [each["progressPercentage"] for each in shown] == [25, 75, 100]
    assert shown[0]["metrics"] == [{"name": "generator/total", "value": "0.333333"}]
    parsed = models.TrainerV1alpha1UpdateTrainJobStatusRequest.from_dict(trainer.reports[0])
    assert parsed.trainer_status.estimated_remaining_seconds == 60
    assert isinstance(parsed.trainer_status.last_updated_time, datetime)


def test_training_does_not_depend_on_it(trainer, capsys):
    trainer.status = 403
    now = [0.0]
    status = TrainJobStatus(trainer.environment, clock=lambda: now[0])
    for second in (0, 60):
        now[0] = second
        status.report(1, 2, 1.0, {})
    status.close()
    assert capsys.readouterr().err.count("progress cannot be reported") == 1
    nowhere = TrainJobStatus({})
    nowhere.report(1, 2, 1.0, {})
    nowhere.close()
