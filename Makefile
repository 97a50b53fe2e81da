# All commands that people, hooks and CI run. `make` without a target lists them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
export DVC_NO_ANALYTICS := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help:  ## list the commands
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start here

.PHONY: env
env: $(STAMP)  ## create the environment in .venv

$(STAMP): requirements.txt pyproject.toml src/environment.sh
	@bash src/environment.sh $(VENV)
	@touch $@

.PHONY: demo
demo: $(STAMP)  ## from nothing to a served cartoon: run every stage, promote, call Triton
	@p2c demo

.PHONY: web
web: $(STAMP)  ## serve the web page to try the models: http://127.0.0.1:7860
	@p2c web

.PHONY: mlflow
mlflow: $(STAMP)  ## serve MLflow's page with this project's runs: http://127.0.0.1:5000
	@p2c mlflow

##@ Train and serve

.PHONY: repro
repro: $(STAMP)  ## run the stages that have changed, as `dvc repro` does, and say how to commit the result
	@p2c repro $(ARGS)

.PHONY: remote
remote: $(STAMP)  ## share data: make remote URL=s3://bucket/path (also gs:// azure:// ssh://)
	@p2c remote "$(URL)"

.PHONY: serve
serve: $(STAMP)  ## run Triton on loopback, until Ctrl-C
	@p2c serve

.PHONY: team
team: .env  ## start MLflow on PostgreSQL and object storage, Triton and the web page, for a team on this host (docs/how-to/team.md)
	@docker compose up -d --build --wait mlflow web
	@docker compose up -d triton follow

.env:
	@umask 077; python3 -c "import secrets; [print(f'{name}={secrets.token_hex(16)}') for name in ('POSTGRES_PASSWORD', 'STORAGE_PASSWORD', 'P2C_TRITON_KEY')]" > $@

##@ Kubeflow

.PHONY: pipeline
pipeline: $(STAMP)  ## compile the Kubeflow pipeline to pipelines/photo2cartoon.yaml
	@python -m pipelines.photo2cartoon

.PHONY: pipeline-local
pipeline-local: $(STAMP)  ## run the Kubeflow pipeline on this machine, without a cluster
	@python -m pipelines.run_local

.PHONY: submit
submit: $(STAMP)  ## run the pipeline on a cluster: make submit KFP_HOST=https://… (ARGS="--help")
	@KFP_HOST="$(KFP_HOST)" python -m pipelines.submit $(ARGS)

.PHONY: pipeline-upload
pipeline-upload: $(STAMP)  ## upload the pipeline as a version of this commit: make pipeline-upload KFP_HOST=https://…
	@KFP_HOST="$(KFP_HOST)" python -m pipelines.submit --upload $(ARGS)

.PHONY: train-job
train-job: $(STAMP)  ## train on a Kubernetes cluster, on one machine or several: make train-job ARGS="--help"
	@python -m components.train_job_submit $(ARGS)

##@ Work on the code

.PHONY: lint
lint: $(STAMP)  ## style and types
	@ruff check -q . && ruff format -q --check .
	@mypy --no-error-summary

.PHONY: check
check: lint  ## style, types, imports, links, licences, advisories, generated files (a minute or two)
	@python -m pytest -q --no-header tests/test_house.py tests/test_docs.py tests/test_advisories.py -k "not takes_seconds"

.PHONY: format
format: $(STAMP)  ## format the code
	@ruff check -q --fix . ; ruff format -q .

.PHONY: test
test: lint  ## style, types, and the fast tests (ten minutes on 2 cores)
	@$(PYTEST) $(ARGS)

.PHONY: test-all
test-all: lint  ## what CI runs: the slow tests too (20 minutes)
	@$(PYTEST) -m "not long and not hours" $(ARGS)

.PHONY: test-long
test-long: $(STAMP)  ## run the long tests (half an hour)
	@$(PYTEST) -m long

.PHONY: test-hours
test-hours: $(STAMP)  ## load a server for two hours: memory, files and latency have to stay flat
	@python -m pytest -m hours -p no:xdist

.PHONY: coverage
coverage: $(STAMP)  ## run the tests and show how much of src they run; fails below 85 %
	@$(PYTEST) -m "not long and not hours" --cov --cov-report=term:skip-covered $(ARGS)

.PHONY: hooks
hooks: $(STAMP)  ## let git run the checks before each commit
	@uv tool run -q --from pre-commit==4.7.0 pre-commit install

.PHONY: generated
generated: $(STAMP)  ## write everything that is made from code: references, licences, pipeline, alerts, dashboard
	@python docs/reference.py && python docs/licences.py && python -m pipelines.photo2cartoon
	@python monitoring/rule.py && python monitoring/dashboard.py

##@ Documentation

.PHONY: docs
docs: $(STAMP)  ## build the documentation as a site in site/; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 uv tool run -q --from mkdocs==1.6.1 --with-requirements docs/requirements.txt mkdocs build -q
	@echo "site/index.html"

.PHONY: screenshots
screenshots: $(STAMP)  ## take the pictures of docs/how-to/mlflow.md (3 minutes; needs Debian's chromium and chromium-driver)
	@python -m docs.screenshots

##@ Images, benchmarks, releases

.PHONY: image-test
image-test: $(STAMP)  ## build both container images, run the pipeline and the server in them (5 to 10 minutes)
	@python -m pipelines.image_test $(ARGS)

.PHONY: compose-test
compose-test: $(STAMP)  ## start the team's services, run the pipeline against them, request a cartoon (5 to 15 minutes)
	@python -m pipelines.compose_test $(ARGS)

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
