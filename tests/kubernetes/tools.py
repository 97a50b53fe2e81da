"""kustomize, and the schemas of custom resources, from the modules of their projects; both need `go` once."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
# Module, its hash in Go's checksum database, and the schemas that are used of it.
MODULES = {
    "github.com/kserve/kserve@v0.20.0": (
        "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=",
        "config/crd/full/{}.yaml",
        (
            "serving.kserve.io_inferenceservices",
            "serving.kserve.io_servingruntimes",
            "clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers",
        ),
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.92.1": (
        "h1:rHWuFo6SVya4FBSCNg2DCzyc4xAv54zk3eDTzp5mQZc=",
        "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml",
        ("servicemonitors", "prometheusrules"),
    ),
    "sigs.k8s.io/kueue@v0.17.0": (
        "h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I=",
        "config/components/crd/bases/kueue.x-k8s.io_{}.yaml",
        ("clusterqueues", "localqueues", "resourceflavors"),
    ),
    "sigs.k8s.io/gateway-api@v1.5.1": (
        "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
        "config/crd/standard/gateway.networking.k8s.io_{}.yaml",
        ("gateways", "grpcroutes"),
    ),
    "github.com/kedacore/keda/v2@v2.18.0": (
        "h1:ttR223fii/4QJ0YvtrhcWHaEoezByb/t5CeFopjl6EI=",
        "config/crd/bases/keda.sh_{}.yaml",
        ("scaledobjects",),
    ),
}
PLACE = ROOT / ".venv/go"
ENVIRONMENT = {
    "GOPATH": str(PLACE),
    "GOCACHE": str(PLACE / "build"),
    "GOFLAGS": "-modcacherw",
    "GOBIN": str(PLACE / "bin"),
}


class Loader(yaml.CSafeLoader):
    """YAML 1.1, in which a lone `=` is a text: as Kubernetes reads it."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def go(*arguments):
    if shutil.which("go") is None:
        pytest.skip("needs go, once")
    done = subprocess.run(["go", *arguments], cwd="/", env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def kustomize():
    """Return the command that builds a folder: kustomize, that of kubectl, or one compiled here."""
    if found := shutil.which("kustomize"):
        return [found, "build"]
    if shutil.which("kubectl"):
        said = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True).stdout
        if '"kustomizeVersion": "v5' in said:
            return ["kubectl", "kustomize"]
    if not (PLACE / "bin/kustomize").is_file():
        go("install", KUSTOMIZE)
    return [str(PLACE / "bin/kustomize"), "build"]


def build(folder):
    """Return the manifests of a kustomization."""
    done = subprocess.run([*kustomize(), folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, Loader=Loader) if each]


def schemas():
    """Return the JSON schema of each custom resource, by API version and kind; unknown fields are refused."""
    found = {}
    for module, (expected, pattern, names) in MODULES.items():
        said = json.loads(go("mod", "download", "-json", module))
        assert said["Sum"] == expected
        for name in names:
            definition = yaml.load((Path(said["Dir"]) / pattern.format(name)).read_text(), Loader=Loader)
            kind = definition["spec"]["names"]["kind"]
            for version in definition["spec"]["versions"]:
                own = f"{definition['spec']['group']}/{version['name']}", kind
                found[own] = strict(version["schema"]["openAPIV3Schema"])
    return found


def strict(schema):
    """Return a schema as Kubernetes' strict validation reads it."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    fields = made.get("properties")
    if (
        isinstance(fields, dict)
        and made.get("type") == "object"
        and not made.get("x-kubernetes-preserve-unknown-fields")
    ):
        made.setdefault("additionalProperties", False)
        if "kind" in fields and "metadata" in fields:
            fields["metadata"] = {"type": "object"}
    return made
