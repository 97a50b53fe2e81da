# The project's image: every stage, and the server. CPU or CUDA is torch's build, which the package index decides.
#   docker build -t photo2cartoon .
# Then, for a cartoon of a photograph here, with weights/ and triton_repo/ of this folder:
#   docker run --rm -v "$PWD:/app/work" -w /app/work photo2cartoon p2c cartoonize photo.jpg --out cartoon.png
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /app
COPY requirements.txt pyproject.toml README.md ./
COPY src src
RUN bash src/environment.sh .venv && find .venv -name __pycache__ -prune -exec rm -rf {} +

FROM ${BASE}
ARG COMMIT=unknown
RUN useradd --uid 1000 --create-home p2c && mkdir /app && chown p2c /app
WORKDIR /app
COPY --from=build --chown=p2c /app /app
COPY --chown=p2c .dvc/config .dvc/config
COPY --chown=p2c dvc.yaml .dvcignore params.yaml ./
COPY --chown=p2c components components
COPY --chown=p2c pipelines pipelines
COPY --chown=p2c triton_repo triton_repo
USER p2c
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app P2C_GIT_COMMIT=${COMMIT} DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true
# No ENTRYPOINT: Kubeflow puts its own command there.
CMD ["p2c", "--help"]
