"""`finish` component: the exit handler, which runs when all steps have ended, whether they succeeded or not."""

from kfp.dsl import PipelineTaskFinalStatus

from components import component


@component()
def finish(status: PipelineTaskFinalStatus, mlflow_uri: str, webhook: str, train_job: bool, namespace: str):
    """Close the run's MLflow runs that a lost pod left running, remove its TrainJob, and notify the webhook.

    Args:
        status: how the steps ended; Kubeflow fills it in.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        webhook: address that gets a JSON message; empty for none.
        train_job: whether training was a TrainJob.
        namespace: namespace of the TrainJob; empty for the pipeline's own.
    """
    import os

    from components.webhook import SUCCEEDED, notify
    from photo2cartoon.errors import UserError, exit_on_user_error
    from photo2cartoon.tracking.client import track_at
    from photo2cartoon.tracking.lineage import KUBEFLOW_RUN
    from photo2cartoon.tracking.runs import close_runs

    with exit_on_user_error("finish"):
        track_at(mlflow_uri)
        run, succeeded = os.environ.get(KUBEFLOW_RUN, ""), status.state in SUCCEEDED
        # A run that exceeded its deadline still calls itself RUNNING here.
        state = "SUCCEEDED" if succeeded else "CANCELED" if status.state.startswith("CANCEL") else "FAILED"
        errors: list[UserError] = []

        def attempt(work, *arguments):
            try:
                return work(*arguments)
            except UserError as error:
                errors.append(error)
                return None

        if run:
            closed = attempt(close_runs, run, "FINISHED" if succeeded else "FAILED")
            print(f"{run}: {state}; MLflow runs closed: {', '.join(closed or []) or 'none'}")
        if run and train_job:
            from components.train_job_submit import delete_jobs_of

            attempt(delete_jobs_of, run, namespace or None)
        if webhook:
            message = {"pipeline": "photo2cartoon", "run": run, "state": state, "error": status.error_message}
            attempt(notify, webhook, message)
        if errors:
            raise errors[0]
