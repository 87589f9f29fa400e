"""A Kubernetes for tests: an API server that keeps what it is sent, and runs pods as processes.

The client library's mock server answers as well, but in Java: starting it and stating its answers
would take a program in Java and a dozen archives, and it could not run a pod. What is not real
here: a pod is a process of this machine with the project's entry point, its image is the installed
packages, and a path that is mounted into a container is a folder whose name is put in its place.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import yaml
from submitting import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Resource = dict[str, Any]

KINDS = {"pods": "Pod", "services": "Service", "configmaps": "ConfigMap"}
IMAGE_FOLDER = "/opt/sparkweights"  # the Dockerfile's WORKDIR
# tini is the image's; here the process that it would start runs by itself.
TINI = '#!/bin/sh\nshift 2\nexec "$@"\n'


def _selected(resource: Resource, query: Mapping[str, list[str]]) -> bool:
    """Whether a resource has the labels, and the name, that a client asks for."""
    labels = resource["metadata"].get("labels", {})
    for term in query.get("labelSelector", [""])[0].split(","):
        name, _, value = term.partition("=")
        is_excluded = name.endswith("!")
        if name and (labels.get(name.rstrip("!")) == value) == is_excluded:
            return False
    asked = query.get("fieldSelector", [""])[0]
    return asked in ("", f"metadata.name={resource['metadata']['name']}")


@dataclass
class Kubernetes:
    """A namespace's resources, and the processes of its pods.

    Attributes
    ----------
    folder
        For the files of pods.
    claims
        Name of a persistent volume claim -> the folder that it stands for.
    secrets
        Name -> key -> value.
    resources
        Path of a resource -> the resource as it is.
    posted
        Each pod as it was posted.
    changes
        Events for clients that watch: path, kind of event, resource.
    """

    folder: Path
    claims: dict[str, Path]
    secrets: dict[str, dict[str, str]]
    address: str = ""
    resources: dict[str, Resource] = field(default_factory=dict)
    posted: list[Resource] = field(default_factory=list)
    changes: list[tuple[str, str, Resource]] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    is_open: bool = True

    def put(self, path: str, resource: Resource, event: str = "ADDED") -> Resource:
        """Keep a resource, and tell of it."""
        metadata = resource.setdefault("metadata", {})
        metadata.setdefault("uid", str(uuid4()))
        metadata.setdefault("creationTimestamp", "2026-03-01T00:00:00Z")
        with self.changed:
            metadata["resourceVersion"] = str(len(self.changes) + 1)
            self.resources[path] = resource
            # As it is now: pods change.
            self.changes.append((path, event, json.loads(json.dumps(resource))))
            self.changed.notify_all()
        return resource

    def post(self, path: str, resource: Resource) -> Resource:
        """Keep a new resource, and start it if it is a pod."""
        kind, name = path.rsplit("/", maxsplit=1)[-1], resource["metadata"]["name"]
        if kind != "pods":
            return self.put(f"{path}/{name}", resource)
        resource["metadata"]["namespace"] = path.split("/")[-2]
        self.posted.append(json.loads(json.dumps(resource)))
        resource["status"] = {"phase": "Pending", "podIP": "127.0.0.1", "containerStatuses": []}
        pod = self.put(f"{path}/{name}", resource)
        Thread(target=self._run, args=(f"{path}/{name}", pod), daemon=True).start()
        return pod

    def delete(self, path: str) -> Resource:
        """Forget a resource; end it if it is a pod."""
        if path in self.processes:
            self.processes[path].terminate()
        with self.changed:
            resource = self.resources.pop(path)
            self.changes.append((path, "DELETED", resource))
            self.changed.notify_all()
        return resource

    def log(self, name: str) -> str:
        """Return what a pod has written."""
        return (self.folder / name / "log").read_text(encoding="utf-8")

    def close(self) -> None:
        """End what runs."""
        with self.changed:
            self.is_open = False
            self.changed.notify_all()
        for process in self.processes.values():
            process.kill()  # a driver that waits for executors would end with them alone
            process.wait()

    def _run(self, path: str, pod: Resource) -> None:
        """Run a pod's container as its image would, until it ends."""
        (container,) = pod["spec"]["containers"]
        folder = self.folder / pod["metadata"]["name"]
        folder.mkdir()
        places = self._mount(pod, folder) | {f"local://{IMAGE_FOLDER}": ROOT}
        program = folder / "tini"
        program.write_text(TINI, encoding="utf-8")
        program.chmod(0o755)
        variables = {each["name"]: self._value(each, pod) for each in container.get("env", [])}
        host = environment(PYTHONPATH=str(ROOT))
        stated = {name: _placed(value, places) for name, value in variables.items()}
        stated["PATH"] = f"{folder}:{host['PATH']}"
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [str(ROOT / "docker" / "kubernetes"),
                 *[_placed(word, places) for word in container["args"]]],
                env={**host, **stated}, cwd=folder, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes[path] = process
        state: Resource = {"running": {"startedAt": "2026-03-01T00:00:00Z"}}
        self._tell(path, pod, "Running", state)
        code = process.wait()
        state = {"terminated": {"exitCode": code}}
        self._tell(path, pod, "Failed" if code else "Succeeded", state)

    def _tell(self, path: str, pod: Resource, phase: str, state: Resource) -> None:
        (container,) = pod["spec"]["containers"]
        if path in self.resources:  # else it was deleted
            one = {"name": container["name"], "image": container["image"], "state": state,
                   "ready": phase == "Running"}  # fmt: skip
            pod["status"].update(phase=phase, containerStatuses=[one])
            self.put(path, pod, "MODIFIED")

    def _value(self, variable: Resource, pod: Resource) -> str:
        """Return the value of a container's variable."""
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            return self.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        if "fieldRef" in source:
            part, name = source["fieldRef"]["fieldPath"].split(".")
            return str(pod[part][name])
        return str(variable.get("value", ""))

    def _mount(self, pod: Resource, folder: Path) -> dict[str, Path]:
        """Return the folder that stands for each path that is mounted."""
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        places = {}
        for number, mount in enumerate(pod["spec"]["containers"][0]["volumeMounts"]):
            volume, place = volumes[mount["name"]], folder / f"volume-{number}"
            if "persistentVolumeClaim" in volume:
                place = self.claims[volume["persistentVolumeClaim"]["claimName"]]
            else:
                place.mkdir()
            files: dict[str, str] = {}
            if "secret" in volume:
                files = self.secrets[volume["secret"]["secretName"]]
            elif "configMap" in volume:
                files = self._config_map(volume["configMap"]["name"])
            for name, text in files.items():
                (place / name).write_text(text, encoding="utf-8")
            places[mount["mountPath"]] = place
        return places

    def _config_map(self, name: str) -> dict[str, str]:
        """Return a map's files, once it is there: spark-submit posts the driver's pod first."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: self._find("configmaps", name), timeout=30)
        files: dict[str, str] = dict((arrived or {}).get("data", {}))
        if "spark.properties" in files:
            # The cluster's names, of a service and of the API server, are unknown on this machine.
            files["spark.properties"] += (
                f"spark.driver.host=127.0.0.1\nspark.kubernetes.driver.master={self.address}\n"
            )
        return files

    def _find(self, kind: str, name: str) -> Resource | None:
        paths = (path for path in self.resources if path.endswith(f"/{kind}/{name}"))
        return next((self.resources[path] for path in paths), None)


def _placed(text: str, places: Mapping[str, Path]) -> str:
    """Return a text of a container whose path, if it is a mounted one, is that of this machine."""
    for path, place in places.items():
        if text == path or text.startswith(f"{path}/"):
            return f"{place}{text.removeprefix(path)}"
    return text


class _Handler(BaseHTTPRequestHandler):
    """The few requests that Spark makes."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _target(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path, parse_qs(parts.query)

    def _body(self) -> Resource:
        """Return the resource that was sent: JSON, or YAML, which contains it."""
        sent: Resource = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
        return sent

    def _answer(self, resource: Resource, code: int = 200) -> None:
        content = json.dumps(resource).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _list(self, path: str, query: dict[str, list[str]]) -> list[tuple[str, Resource]]:
        return [
            (each, resource)
            for each, resource in list(self.server.kubernetes.resources.items())
            if each.rpartition("/")[0] == path and _selected(resource, query)
        ]

    def do_GET(self) -> None:
        path, query = self._target()
        resources = self.server.kubernetes.resources
        kind = path.rpartition("/")[2]
        if "Upgrade" in self.headers:  # a web socket; the client then watches by HTTP
            self._answer({})
        elif "watch" in query:
            self._watch(path, query)
        elif path in resources:
            self._answer(resources[path])
        elif kind in KINDS:
            items = [resource for _, resource in self._list(path, query)]
            self._answer({
                "kind": f"{KINDS[kind]}List", "apiVersion": "v1",
                "metadata": {"resourceVersion": "1"}, "items": items,
            })  # fmt: skip
        else:
            self._answer({"kind": "Status", "apiVersion": "v1", "code": 404}, 404)

    def do_POST(self) -> None:
        path, _ = self._target()
        self._answer(self.server.kubernetes.post(path, self._body()), 201)

    def do_PATCH(self) -> None:
        path, _ = self._target()
        self._answer(self.server.kubernetes.put(path, self._body()))

    def do_DELETE(self) -> None:
        path, query = self._target()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path in self.server.kubernetes.resources:
            self._answer(self.server.kubernetes.delete(path))
            return
        for each, _ in self._list(path, query):
            self.server.kubernetes.delete(each)
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _watch(self, path: str, query: dict[str, list[str]]) -> None:
        """Write events as they come, until the client or the test goes."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        kubernetes, told = self.server.kubernetes, 0
        while kubernetes.is_open:
            with kubernetes.changed:
                kubernetes.changed.wait(1)
                new, told = kubernetes.changes[told:], len(kubernetes.changes)
            for at, event, resource in new:
                watched = path in (at, at.rpartition("/")[0])
                if watched and _selected(resource, query):
                    line = json.dumps({"type": event, "object": resource}).encode() + b"\n"
                    try:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
                    except OSError:
                        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    kubernetes: Kubernetes


@contextmanager
def serve(
    folder: Path, claims: dict[str, Path], secrets: dict[str, dict[str, str]]
) -> Iterator[Kubernetes]:
    """Start an API server."""
    kubernetes = Kubernetes(folder, claims, secrets)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.kubernetes = kubernetes
        kubernetes.address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield kubernetes
        finally:
            kubernetes.close()
            server.shutdown()
