"""Reads Dockerfile and docker-compose.yml, and runs their services as processes, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from conftest import PROJECT

# A variable of docker-compose.yml: required with a message, or with a default.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:\?|:-)(?P<rest>[^}]*))?\}")


def declared() -> dict[str, Any]:
    """docker-compose.yml, its variables as they are written."""
    return dict(yaml.safe_load((PROJECT / "docker-compose.yml").read_text()))


def services() -> dict[str, dict[str, Any]]:
    return dict(declared()["services"])


def variables() -> list[tuple[str, str, str]]:
    """Every variable of the file: name, `:?`, `:-` or empty, and what follows."""
    text = (PROJECT / "docker-compose.yml").read_text()
    return [(m["name"], m["kind"] or "", m["rest"] or "") for m in _VARIABLE.finditer(text)]


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """`text` with its variables, as Compose fills them in.

    Raises:
        KeyError: a required variable is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        found = given.get(match["name"], "")
        if not found and match["kind"] == ":?":
            raise KeyError(match["name"])
        return found or match["rest"] or ""

    return _VARIABLE.sub(value, text)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile: (instruction, its text), lines joined, comments left out."""
    lines = [x for x in (PROJECT / "Dockerfile").read_text().splitlines() if not x.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(x.split(None, 1)[0], x.split(None, 1)[1].strip()) for x in joined.splitlines() if x.strip()]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(i for i, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for name, text in final_stage() if name == "ENV" for pair in text.split())


def mounts(service: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, of every mount of a service."""
    found = []
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            # A default's colon is none of the mount's.
            source, target, *options = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", volume).split(":")
            found.append((source, target, "ro" in options))
        else:
            source = "/".join(filter(None, (volume["source"], volume.get("volume", {}).get("subpath"))))
            found.append((source, volume["target"], bool(volume.get("read_only"))))
    return found


@dataclass(frozen=True)
class Machine:
    """Where the services run as processes: no containers, but each with the environment and the folders of its own.

    `given` are the variables of docker-compose.yml, `moved` the places of the network (`host:port`) on this machine, and
    `instead` the variables that must have another value here, by image.
    """

    root: Path
    given: Mapping[str, str]
    moved: Mapping[str, str]
    instead: Mapping[str, Mapping[str, str]]

    def place(self, name: str, path: str) -> str:
        """A path of a service's container: the project, a volume, or else a folder that only this service has."""
        if path.startswith("/opt/onefunnel"):
            return f"{PROJECT}{path.removeprefix('/opt/onefunnel')}"
        for source, target, _ in sorted(mounts(services()[name]), key=lambda m: -len(m[1])):
            if path == target or path.startswith(target + "/"):
                return f"{self.root}/volumes/{source}{path.removeprefix(target)}"
        return f"{self.root}/containers/{name}{path}"

    def mount(self) -> None:
        """Make the volumes, and show each service its own where it expects them: a link stands for a mount."""
        for volume in declared()["volumes"]:
            (self.root / "volumes" / volume).mkdir(parents=True)
        for name, service in services().items():
            for source, target, _ in mounts(service):
                point = Path(self.place(name, os.path.dirname(target)), os.path.basename(target))
                point.parent.mkdir(parents=True, exist_ok=True)
                point.symlink_to(self.root / "volumes" / source)

    def translated(self, name: str, text: str) -> str:
        """A value or an argument, with paths of the container and places of the network as they are on this machine."""
        text = interpolated(text, self.given)
        for there, here in self.moved.items():
            text = text.replace(there, here)
        return re.sub(r"(?<![\w/.])/(?:opt|var|tmp|srv)(?:/[\w.-]+)*", lambda m: self.place(name, m[0]), text)

    def environment(self, name: str) -> dict[str, str]:
        """Exactly what image and service declare; nothing of this process, but where programs are."""
        service = services()[name]
        image = service["image"].split(":")[0]
        declared = {**(image_environment() if image == "onefunnel" else {}), **service["environment"]}
        return {**{k: self.translated(name, v) for k, v in declared.items()}, **self.instead[image]}

    def arguments(self, name: str, command: Iterable[str]) -> list[str]:
        return [self.translated(name, x) for x in command]

    def run(self, name: str, command: Iterable[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """A command in the container of a service, to its end."""
        return subprocess.run(
            self.arguments(name, command),
            env=self.environment(name),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            start_new_session=True,
            **options,
        )

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """The command of a service, its log in `<root>/<service>.log`."""
        with (self.root / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                self.arguments(name, services()[name]["command"]),
                env=self.environment(name),
                cwd=PROJECT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def healthy(self, name: str) -> bool:
        """The health check of a service, once."""
        kind, *command = services()[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(name, command).returncode == 0
