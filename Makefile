# All commands that people, hooks and CI run. `make` without a target lists them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export DVC_NO_ANALYTICS := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

.PHONY: env
env: $(STAMP)  ## create the environment in .venv

$(STAMP): requirements.txt pyproject.toml src/environment.sh
	@bash src/environment.sh $(VENV)
	@touch $@

.PHONY: demo
demo: $(STAMP)  ## from nothing to a served cartoon: run every stage, promote, call Triton
	@p2c demo

.PHONY: test
test: $(STAMP)  ## lint and run all tests except the long ones (20 minutes on 2 cores)
	@ruff check -q . && ruff format -q --check .
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-long
test-long: $(STAMP)  ## run the long tests (10 minutes)
	@python -m pytest -m long

.PHONY: bench
bench: $(STAMP)  ## time the training step against a plain one (four minutes; make bench ARGS="--help")
	@p2c assets --out weights >/dev/null
	@python -m benchmarks.train_step $(ARGS)

.PHONY: wheel
wheel: $(STAMP)  ## build the wheel of this commit in dist/, the same bytes on every machine
	@bash src/wheel.sh dist && cd dist && sha256sum *.whl

.PHONY: sbom
sbom: $(STAMP)  ## write sbom.json: every package of the lock, as CycloneDX, for a scanner of advisories
	@uv tool run -q --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements.txt --of JSON -o sbom.json
	@echo "sbom.json: $$(grep -c '"purl"' sbom.json) packages"

.PHONY: repro
repro: $(STAMP)  ## run the stages that have changed, as `dvc repro` does, and say how to commit the result
	@p2c repro $(ARGS)

.PHONY: pipeline
pipeline: $(STAMP)  ## compile the Kubeflow pipeline to pipelines/photo2cartoon.yaml
	@python -m pipelines.photo2cartoon

.PHONY: pipeline-local
pipeline-local: $(STAMP)  ## run the Kubeflow pipeline on this machine, without a cluster
	@python -m pipelines.run_local

.PHONY: image-test
image-test: $(STAMP)  ## build both container images, run the pipeline and the server in them (5 to 10 minutes)
	@python -m pipelines.image_test $(ARGS)

.PHONY: team
team: .env  ## start MLflow on PostgreSQL and object storage, Triton and the web page, for a team on this host (docs/how-to/team.md)
	@docker compose up -d --build --wait mlflow web
	@docker compose up -d triton follow

.env:
	@umask 077; python3 -c "import secrets; [print(f'{name}={secrets.token_hex(16)}') for name in ('POSTGRES_PASSWORD', 'STORAGE_PASSWORD', 'P2C_TRITON_KEY')]" > $@

.PHONY: compose-test
compose-test: $(STAMP)  ## start the team's services, run the pipeline against them, request a cartoon (5 to 15 minutes)
	@python -m pipelines.compose_test $(ARGS)

.PHONY: submit
submit: $(STAMP)  ## run the pipeline on a cluster: make submit KFP_HOST=https://… (ARGS="--help")
	@KFP_HOST="$(KFP_HOST)" python -m pipelines.submit $(ARGS)

.PHONY: pipeline-upload
pipeline-upload: $(STAMP)  ## upload the pipeline as a version of this commit: make pipeline-upload KFP_HOST=https://…
	@KFP_HOST="$(KFP_HOST)" python -m pipelines.submit --upload $(ARGS)

.PHONY: train-job
train-job: $(STAMP)  ## train on a Kubernetes cluster, on one machine or several: make train-job ARGS="--help"
	@python -m components.train_job_submit $(ARGS)

.PHONY: serve
serve: $(STAMP)  ## run Triton on loopback, until Ctrl-C
	@p2c serve

.PHONY: web
web: $(STAMP)  ## serve the web page to try the models: http://127.0.0.1:7860
	@p2c web

.PHONY: mlflow
mlflow: $(STAMP)  ## serve MLflow's page with this project's runs: http://127.0.0.1:5000
	@p2c mlflow

.PHONY: screenshots
screenshots: $(STAMP)  ## take the pictures of docs/how-to/mlflow.md (3 minutes; needs Debian's chromium and chromium-driver)
	@python -m docs.screenshots

.PHONY: remote
remote: $(STAMP)  ## share data: make remote URL=s3://bucket/path (also gs:// azure:// ssh://)
	@p2c remote "$(URL)"

.PHONY: format
format: $(STAMP)  ## format the code
	@ruff check -q --fix . ; ruff format -q .
