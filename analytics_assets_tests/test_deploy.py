"""The files of docs/scale.md: valid by their schema, without a secret, and true of this product."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from dagster import Shape
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._core.run_coordinator import QueuedRunCoordinator

from analytics_assets import cli, registry, settings
from analytics_assets.automation.plan import DOMAIN_TAG

FOLDER = Path(__file__).parents[1] / "deploy"
# Aliases and merges resolved, as a program that starts it reads it.
COMPOSED = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
OURS = {name: one for name, one in SERVICES.items() if one.get("image", "").endswith(":latest")}
WORKSPACE = yaml.safe_load((FOLDER.parent / "workspace.yaml").read_text())
VALUES = yaml.safe_load((FOLDER / "helm-values.yaml").read_text())
(CODE,) = VALUES["dagster-user-deployments"]["deployments"]
# What is set for others: the store's client, PostgreSQL, Redis and MinIO.
FOREIGN = re.compile(r"AWS_\w+|POSTGRES_PASSWORD|REDIS_PASSWORD|MINIO_\w+")


def named_secrets() -> dict[str, str]:
    lines = (FOLDER / "secrets.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_compose_file_is_one() -> None:
    text = yaml.safe_dump(COMPOSED)
    assert set(compose_spec.PyCompose.from_yaml(text).service_names()) == SERVICES.keys()
    with pytest.raises(ValueError, match="restart"):
        compose_spec.PyCompose.from_yaml(text.replace("unless-stopped", "sometimes"))


def test_it_has_every_part_and_starts_commands_that_there_are() -> None:
    assert {"postgres", "redis", "store", "head", "worker", "api"} <= SERVICES.keys()
    assert OURS.keys() == {"head", "worker", "api"}
    for one in OURS.values():
        program, command = one["command"]
        assert program == "analytics-assets"
        assert command in cli._COMMANDS
    for one in SERVICES.values():
        for file in one.get("env_file", []):
            assert (FOLDER / f"{file}.example").exists()
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            named = source in COMPOSED["volumes"]
            assert named or source == "./logins" or (FOLDER / source).exists(), volume


def test_no_secret_is_in_it_and_every_setting_is_read() -> None:
    for name, value in named_secrets().items():
        assert "CHANGE_ME" in value or value == "analytics", name
    read = "\n".join(path.read_text() for path in Path(settings.__file__).parent.rglob("*.py"))
    said = {name for one in OURS.values() for name in one["environment"]} | named_secrets().keys()
    said |= CODE["env"].keys()
    unread = {name for name in said if f'"{name}"' not in read and not FOREIGN.fullmatch(name)}
    assert unread == set()
    domains = OURS["worker"]["environment"]["ANALYTICS_DOMAINS"].split(",")
    assert set(domains) <= set(registry.found())


def test_the_values_of_the_chart_say_what_dagster_takes() -> None:
    daemon = VALUES["dagsterDaemon"]
    (coordinator,) = daemon["runCoordinator"]["config"].values()
    _valid(QueuedRunCoordinator.config_type(), coordinator)
    with pytest.raises(AssertionError):
        _valid(QueuedRunCoordinator.config_type(), {"maxConcurrentRun": 20})
    said = {"runMonitoring": daemon["runMonitoring"], "runRetries": daemon["runRetries"]}
    _valid(dagster_instance_config_schema(), said)
    (limit,) = coordinator["tagConcurrencyLimits"]
    assert limit["key"] == DOMAIN_TAG
    (launcher,) = VALUES["runLauncher"]["config"].values()
    assert VALUES["runLauncher"]["type"] == "K8sRunLauncher"
    assert launcher["failPodOnRunFailure"] is False
    assert set(CODE["env"]["ANALYTICS_DOMAINS"].split(",")) <= set(registry.found())
    module = CODE["dagsterApiGrpcArgs"][1]
    assert module == WORKSPACE["load_from"][0]["python_module"]["module_name"]


def test_the_chart_launches_runs_as_dagster_does() -> None:
    launcher = pytest.importorskip("dagster_k8s").K8sRunLauncher
    (said,) = VALUES["runLauncher"]["config"].values()
    _valid(launcher.config_type(), {**said, **_OF_THE_CHART})


# What the chart itself says beside, of the release and of Dagster's home in a pod.
_OF_THE_CHART = {
    "jobNamespace": "default",
    "serviceAccountName": "dagster",
    "instanceConfigMap": "dagster-instance",
    "dagsterHome": "/opt/dagster/dagster_home",
}


def _valid(schema: Any, said: dict[str, Any]) -> None:
    """Values as the chart hands them to Dagster, whose names have underscores."""
    found = validate_config(Shape(schema) if isinstance(schema, dict) else schema, _snake(said))
    assert found.success, found.errors


def _snake(said: Any) -> Any:
    if isinstance(said, dict):
        return {
            re.sub(r"(?<=[a-z])([A-Z])", r"_\1", k).lower()
            if k != "applyLimitPerUniqueValue"
            else k: _snake(v)
            for k, v in said.items()
        }
    return [_snake(one) for one in said] if isinstance(said, list) else said


def test_the_image_is_made_of_known_instructions() -> None:
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]
    assert words[0] == "FROM"
    assert set(words) <= {"FROM", "ARG", "COPY", "RUN", "USER", "ENV", "CMD"}
    assert "latest" not in lines[0]
    assert words.index("USER") < words.index("CMD"), "not as root"
