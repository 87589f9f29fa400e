"""Kubernetes, by the page's command: the pods that Spark posts, and the exit code of a job."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import kubernetes_server
import pandas as pd
import pytest
from pages import blocks
from submitting import (
    PATIENCE,
    command_of_page,
    environment,
    free_port,
    scored_rows,
    write_defaults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Shop
    from kubernetes_server import Kubernetes

pytestmark = pytest.mark.engines
SECRETS = {"bank": {"password": "hush7041"}}
CONFIGURED = "spark.kubernetes."


@pytest.fixture
def kubernetes(own_shop: Shop, tmp_path: Path) -> Iterator[Kubernetes]:
    """Start an API server; the claim of the page's command is the folder of the tables."""
    folder = tmp_path / "pods"
    folder.mkdir()
    with kubernetes_server.serve(folder, {"lending": own_shop.folder}, SECRETS) as server:
        yield server


def _settings() -> dict[str, str]:
    """Return the settings of the page's command."""
    words = shlex.split(command_of_page("k8s"))
    stated = [value for word, value in pairwise(words) if word == "--conf"]
    return {key: value for key, _, value in (setting.partition("=") for setting in stated)}


def _submit(kubernetes: Kubernetes, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's command, with the address of the server in the place of the cluster's."""
    command = command_of_page("k8s")
    (address,) = re.findall(r"k8s://(https://\S+)", command)
    defaults = {
        "spark.driver.memory": "900m",
        "spark.executor.memory": "512m",
        "spark.executor.instances": "1",
        "spark.driver.port": str(free_port()),
        "spark.driver.blockManager.port": str(free_port()),
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
    }
    return subprocess.run(
        shlex.split(command.replace(address, kubernetes.address)),
        cwd=tmp_path,
        env=environment(SPARK_CONF_DIR=str(write_defaults(tmp_path / "conf", defaults))),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _role(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["spark-role"])


def test_page_command_posts_pods_that_score_the_rows_of_local_mode(
    own_shop: Shop, kubernetes: Kubernetes, tmp_path: Path
) -> None:
    """The driver's pod posts an executor's; both have what the page gives them, and work."""
    # The reader knows no such option; a run fails where the pod has no such variable.
    incoming = {"format": "parquet", "location": "data/incoming",
                "options": {"password": "${BANK_PASSWORD}"}}  # fmt: skip
    own_shop.config("loan.yaml", tables__incoming=incoming)
    before = scored_rows(own_shop)
    shutil.rmtree(own_shop.folder / "out" / "scored")
    ran = _submit(kubernetes, tmp_path)
    driver, executor = kubernetes.posted
    assert (_role(driver), _role(executor)) == ("driver", "executor")
    logs = [kubernetes.log(pod["metadata"]["name"])[-3000:] for pod in (driver, executor)]
    assert ran.returncode == 0, "\n".join([ran.stderr[-3000:], *logs])
    # The run's id depends on the configuration.
    pd.testing.assert_frame_equal(
        scored_rows(own_shop).drop(columns="run_id"), before.drop(columns="run_id")
    )
    _require_arguments(driver, executor)
    for pod in (driver, executor):
        _require_as_configured(pod)


def _require_arguments(driver: dict[str, Any], executor: dict[str, Any]) -> None:
    """Require the words that the image's entry point knows, and the job's own ones."""
    arguments = driver["spec"]["containers"][0]["args"]
    assert arguments[0] == "driver"
    command = shlex.split(command_of_page("k8s"))
    job = command[command.index("local:///opt/sparkweights/jobs/run.py") :]
    assert arguments[-len(job) :] == job
    assert executor["spec"]["containers"][0]["args"] == ["executor"]


def _require_as_configured(pod: dict[str, Any]) -> None:
    """Require image, namespace, volume and secrets of the page's settings in a pod."""
    settings, role = _settings(), _role(pod)
    (container,) = pod["spec"]["containers"]
    (build,) = (
        shlex.split(line)
        for block in blocks("sh")
        for line in block.text.splitlines()
        if line.startswith("docker build --target kubernetes")
    )
    image = build[build.index("-t") + 1]
    assert container["image"] == settings[f"{CONFIGURED}container.image"] == image
    assert pod["metadata"]["namespace"] == settings[f"{CONFIGURED}namespace"]
    volume = f"{CONFIGURED}{role}.volumes.persistentVolumeClaim.data"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["data"] == settings[f"{volume}.mount.path"] == "/data"
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    }
    assert claims == {"data": settings[f"{volume}.options.claimName"]}
    secrets = {
        each["name"]: "{name}:{key}".format(**each["valueFrom"]["secretKeyRef"])
        for each in container["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    stated = f"{CONFIGURED}{role}.secretKeyRef."
    assert secrets == {
        key.removeprefix(stated): value for key, value in settings.items() if key.startswith(stated)
    }
    if role == "driver":
        assert secrets == {"BANK_PASSWORD": "bank:password"}
        account = settings[f"{CONFIGURED}authenticate.driver.serviceAccountName"]
        assert pod["spec"]["serviceAccountName"] == account
        assert pod["spec"]["restartPolicy"] == "Never"


def test_code_of_a_failed_job_is_that_of_the_driver_container(
    own_shop: Shop, kubernetes: Kubernetes, tmp_path: Path
) -> None:
    """spark-submit repeats it in its log, and itself ends with 0: the page warns of it."""
    own_shop.config("loan.yaml")
    shutil.rmtree(own_shop.folder / "data" / "incoming")
    before = own_shop.state()
    ran = _submit(kubernetes, tmp_path)
    driver = next(pod for pod in kubernetes.posted if _role(pod) == "driver")
    name = driver["metadata"]["name"]
    told = kubernetes.log(name)
    assert "sparkweights: No table at" in told, told[-3000:]
    (pod,) = (
        resource for path, resource in kubernetes.resources.items() if path.endswith(f"/{name}")
    )
    (status,) = pod["status"]["containerStatuses"]
    assert (pod["status"]["phase"], status["state"]["terminated"]["exitCode"]) == ("Failed", 4)
    assert set(re.findall(r"exit code: (\d+)", ran.stderr)) == {"4"}
    assert ran.returncode == 0
    assert own_shop.state() == before
