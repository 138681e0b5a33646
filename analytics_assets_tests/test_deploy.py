"""The files of docs/scale.md: valid by their schema, without a secret, and true of this product."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from analytics_assets import cli, registry, settings

FOLDER = Path(__file__).parents[1] / "deploy"
# Aliases and merges resolved, as a program that starts it reads it.
COMPOSED = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
OURS = {name: one for name, one in SERVICES.items() if one.get("image", "").endswith(":latest")}
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
        (command,) = one["command"]
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
    unread = {name for name in said if f'"{name}"' not in read and not FOREIGN.fullmatch(name)}
    assert unread == set()
    domains = OURS["worker"]["environment"]["ANALYTICS_DOMAINS"].split(",")
    assert set(domains) <= set(registry.found())


def test_the_image_is_made_of_known_instructions() -> None:
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]
    assert words[0] == "FROM"
    assert set(words) <= {"FROM", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT", "CMD"}
    assert "latest" not in lines[0]
    assert words.index("USER") < words.index("ENTRYPOINT"), "not as root"
