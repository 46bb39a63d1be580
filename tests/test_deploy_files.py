"""The files of deploy/ parse, and say of the command line, the ports and the image what is so. No container is built here."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sixfold import __version__
from sixfold.cli import group

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PORT = 8900
SUBMITTED = "breast_cancer.yaml"  # by the demo of the service, here a smaller one
SHORTER = {"epochs: 60": "epochs: 5", "rounds: 200": "rounds: 20", "folds: 5": "folds: 2"}
IMAGES = {f"sixfold:{__version__}", f"sixfold-ray:{__version__}", "postgres:17.6-bookworm"}
EMBEDDED = re.compile(r"sixfold (?:keys|up|worker|deploy|submit)[^\n`#)]*")


def of(name: str) -> str:
    return (DEPLOY / name).read_text()


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(of(name)))


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(of(name))
    return parser


def pods() -> Iterator[dict[str, Any]]:
    """Every pod's specification."""
    for document in documents("kubernetes.yaml"):
        if "template" in document["spec"]:
            yield document["spec"]["template"]["spec"]
    (ray,) = documents("ray-cluster.yaml")
    groups = [ray["spec"]["headGroupSpec"], *ray["spec"]["workerGroupSpecs"]]
    yield from (one["template"]["spec"] for one in groups)


def commands() -> dict[str, list[str]]:
    """What is started, by where it stands: sixfold's arguments."""
    found = {
        "Dockerfile": yaml.safe_load(re.search(r"^CMD (.*)$", of("Dockerfile"), re.M)[1])  # type: ignore[index]
    }
    for name, service in documents("compose.yaml")[0]["services"].items():
        if service["image"].startswith("sixfold:"):
            found[f"compose.yaml {name}"] = service["command"]
    for pod in pods():
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            if "args" in container:
                found[f"kubernetes.yaml {container['name']}"] = container["args"]
    for name in ("sixfold.service", "sixfold-worker.service"):
        program, *found[name] = shlex.split(unit(name)["Service"]["ExecStart"])
        assert program == "/opt/sixfold/bin/sixfold"
    return found


def parsed(arguments: list[str]) -> dict[str, Any]:
    """As the command line reads them; the command itself is not called."""
    verb = group.get_command(click.Context(group), arguments[0])
    assert verb is not None, arguments[0]
    return verb.make_context(arguments[0], list(arguments[1:])).params


def test_all_starts_are_here() -> None:
    assert len(commands()) == 9


@pytest.mark.parametrize("where", sorted(commands()))
def test_what_is_started_is_a_command_with_its_options(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXFOLD_API_KEY", "sf_of_the_environment")
    asked = parsed(commands()[where])
    if "port" in asked:
        assert asked["port"] == PORT
    else:
        server = asked["server"]
        assert server == "${SIXFOLD_SERVER}" or server.endswith(f":{PORT}")


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_commands_in_comments_are_commands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_API_KEY", "sf_of_the_environment")
    for line in EMBEDDED.findall(path.read_text()):
        parsed(shlex.split(line)[1:])


def test_an_option_that_is_not_there_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parsed(["up", "--databse", "x"])


def test_hosts_that_workers_ask_are_allowed() -> None:
    found = commands()
    for where, server, worker in (
        ("compose.yaml", "server", "worker"),
        ("kubernetes.yaml", "server", "worker"),
    ):
        address = parsed_server(found[f"{where} {worker}"])
        assert address in parsed(found[f"{where} {server}"])["allow_hosts"]


def parsed_server(arguments: list[str]) -> str:
    return arguments[arguments.index("--server") + 1].split("//")[1].split(":")[0]


def test_images_are_pinned_and_the_project_s_own() -> None:
    services = documents("compose.yaml")[0]["services"].values()
    used = {one["image"] for one in services}
    used |= {container["image"] for pod in pods() for container in pod["containers"]}
    assert used == IMAGES
    bases = re.findall(r"^FROM (\S+)", of("Dockerfile"), re.M)
    assert len(bases) == 2 and len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_the_image_is_made_of_what_is_here() -> None:
    text = of("Dockerfile")
    extras = set(re.search(r"^ARG EXTRAS=(.*)$", text, re.M)[1].split(","))  # type: ignore[index]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= set(project["optional-dependencies"])
    assert "-c constraints.txt" in text and "\nUSER 10001:10001\n" in text
    kept = {line[1:] for line in of("Dockerfile.dockerignore").splitlines() if line[:1] == "!"}
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists() and name in kept


def test_compose() -> None:
    (compose,) = documents("compose.yaml")
    services = compose["services"]
    assert services["server"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    for name in ("postgres", "server"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    for service in services.values():
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
        assert set(service.get("depends_on", {})) <= set(services)


def test_kubernetes() -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents("kubernetes.yaml")}
    assert {kind for kind, _ in found} == {
        "PersistentVolumeClaim", "Deployment", "Service", "StatefulSet",
    }  # fmt: skip
    workloads = [one for (kind, _), one in found.items() if kind in ("Deployment", "StatefulSet")]
    for workload in workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == labels
    for (kind, _), one in found.items():
        if kind == "Service":
            name, (port,) = one["spec"]["selector"]["app"], one["spec"]["ports"]
            of_it = next(each for each in workloads if each["metadata"]["name"] == name)
            container = of_it["spec"]["template"]["spec"]["containers"][0]
            known = {each["name"]: each["containerPort"] for each in container["ports"]}
            assert known[port["targetPort"]] == port["port"]


def test_no_pod_is_root_or_holds_a_secret_in_its_text() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            for variable in container.get("env", []):
                if re.search("PASSWORD|KEY", variable["name"]):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}


@pytest.mark.parametrize("name", ["sixfold.service", "sixfold-worker.service"])
def test_units(name: str) -> None:
    service = unit(name)["Service"]
    for option in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"):
        assert service[option] == "yes"
    assert service["User"] == "sixfold" and service["ProtectSystem"] == "strict"
    state = f"/var/lib/{service['StateDirectory']}"
    arguments = shlex.split(service["ExecStart"])
    assert arguments[arguments.index("--home") + 1].startswith(f"{state}/")


@pytest.mark.slow
def test_the_demo_of_the_service(tmp_path: Path) -> None:
    program = tmp_path / "sixfold"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sixfold "$@"\n')
    program.chmod(0o755)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    script, recipe = tmp_path / "recipes" / "demo_service.sh", tmp_path / "recipes" / SUBMITTED
    text = recipe.read_text()
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    recipe.write_text(text)
    page = ROOT / "docs" / "tutorials" / "service.md"
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks == ["sh recipes/demo_service.sh runs/service-tutorial 0\n"]
    environment = {**os.environ, "SIXFOLD": str(program)}
    done = subprocess.run(
        ["sh", str(script), str(tmp_path / "demo"), "0"],
        env=environment, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"predictions"' in done.stdout and "/console" in done.stdout
    assert "sf_" not in done.stdout + (tmp_path / "demo" / "up.log").read_text()
    assert (tmp_path / "demo" / "first.key").stat().st_mode & 0o077 == 0
