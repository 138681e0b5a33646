"""What an administrator relies on: who can read files, whose settings count, roles on a server.

Belongs here: files and their rights, Dagster's settings, roles made from one admin URL.
Does not belong here: what readers may do with a promoted table (``production/test_privileges.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets import cli, environment, home, settings
from analytics_assets.core.source import SourceError
from analytics_assets_tests.conftest import as_admin
from analytics_assets_tests.running import empty_home, environment_of

SHIPPED = yaml.safe_load(Path(environment.__file__).with_name("dagster.yaml").read_text())


# ---- files --------------------------------------------------------------------------------------


def _readable_by_others(folder: Path) -> list[str]:
    """Files and folders below that another user could come to and read."""
    found = []
    for path in (folder, *folder.iterdir()):
        mode = path.stat().st_mode
        # Of root's home others may pass through, for the server that runs as another user.
        if mode & (0o066 if path == folder else 0o077):
            found.append(f"{path} {mode & 0o777:o}")
    return found


@pytest.mark.slow
def test_all_files_are_their_owners_whatever_the_umask() -> None:
    with empty_home() as folder:
        folder.mkdir(mode=0o755)
        command = [sys.executable, "-m", "analytics_assets"]
        for arguments in (["materialize"], ["backup"]):
            done = subprocess.run(
                [*command, *arguments],
                env=environment_of(folder, "clinic"),
                capture_output=True,
                text=True,
                umask=0,
            )
            assert done.returncode == 0, done.stderr
            assert "can look into it" not in done.stderr
        there = {path.name for path in folder.iterdir()}
        assert {"lake", "warehouse.duckdb", "samples", "backups", "clinic_pseudonym.key"} <= there
        assert _readable_by_others(folder) == []


def test_an_open_home_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, lake = tmp_path / "home", tmp_path / "lake"
    monkeypatch.setenv("ANALYTICS_HOME", str(own))
    monkeypatch.setenv("ANALYTICS_LAKE", str(lake))
    before = os.umask(0o077)
    home.take(settings.load())
    os.umask(before)
    assert own.stat().st_mode & 0o777 == 0o700
    assert home.open_to_others(settings.load()) == []
    lake.mkdir()
    lake.chmod(0o755)
    (own / "a key").write_text("secret")
    (own / "a key").chmod(0o644)
    assert home.open_to_others(settings.load()) == [lake]
    own.chmod(0o711)
    assert home.open_to_others(settings.load()) == [own / "a key", lake]
    own.chmod(0o750)
    assert home.open_to_others(settings.load()) == [own]
    home.take(settings.load())
    assert own.stat().st_mode & 0o777 == 0o750, "what is at work is said and not changed"


# ---- dagster.yaml -------------------------------------------------------------------------------


def _written(file: Path) -> dict:
    environment.write_dagster_yaml(file)
    return yaml.safe_load(file.read_text())


def test_dagsters_settings_are_ours_where_the_user_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    assert _written(file) == SHIPPED
    # As an earlier release left it: ours of then, copied.
    file.write_text("# Dagster's own settings\ntelemetry:\n  enabled: false\n")
    assert _written(file) == SHIPPED
    assert "# Dagster's own" not in file.read_text()


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("run_coordinator:\n  config: {max_concurrent_runs: 4}\n", set()),
        ("concurrency:\n  runs:\n    max_concurrent_runs: 4\n", {"run_coordinator"}),
        ("retention:\n  sensor:\n    purge_after_days: 3\n", set()),
    ],
)
def test_what_the_user_says_counts_and_stays(tmp_path: Path, said: str, gone: set[str]) -> None:
    file = tmp_path / "dagster.yaml"
    text = f"# mine, and why\n{said}"
    file.write_text(text)
    wanted = {k: v for k, v in SHIPPED.items() if k not in gone} | yaml.safe_load(said)
    for _ in range(2):
        assert _written(file) == wanted
        assert file.read_text().startswith(text)
    file.write_text(file.read_text().replace("# mine, and why", "nux: {enabled: true}"))
    assert _written(file) == wanted | {"nux": {"enabled": True}}


@given(st.dictionaries(st.sampled_from([*SHIPPED, "schedules", "sensors"]), st.integers()))
def test_the_file_is_a_fixed_point(theirs: dict[str, int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dagster.yaml"
        file.write_text(yaml.safe_dump(theirs))
        first = _written(file)
        text = file.read_text()
        assert theirs.items() <= first.items()
        assert _written(file) == first
        assert file.read_text() == text


@pytest.mark.parametrize("text", ["a: [1", "just words", "- a\n- b\n"])
def test_what_is_no_yaml_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text(text)
    with pytest.raises(SourceError, match=r"dagster.yaml: .*Mend or delete it"):
        environment.write_dagster_yaml(file)
    assert file.read_text() == text


# ---- roles --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    """Socket of a server that asks for passwords, with an administrator who is no superuser."""
    from analytics_assets.production.server import _start

    with empty_home() as folder:
        socket = _start(folder / "data")
        for database in ("analytics", "analytics_restore", "dagster"):
            as_admin(socket, f"drop database {database}")
        for role in ("promoter", "dashboard_reader", "dagster"):
            as_admin(socket, f"drop owned by {role}")
            as_admin(socket, f"drop role {role}")
        as_admin(socket, "create role boss login createdb createrole")
        as_admin(socket, "grant connect on database postgres to boss")
        yield socket


def test_roles_and_limits_are_made_from_one_admin_url(
    own_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRODUCTION_ADMIN_URL", f"postgresql://boss@/postgres?host={own_server}")
    assert cli.main(["create-roles"]) == 0
    said = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert set(said) == {
        "PRODUCTION_URL",
        "PRODUCTION_READER_URL",
        "RESTORE_URL",
        "DAGSTER_PG_URL",
    }
    assert all("@localhost:" in url for url in said.values())
    assert said["PRODUCTION_READER_URL"].startswith("postgresql://dashboard_reader:")
    reader = psycopg2.connect(host=own_server, user="dashboard_reader", dbname="analytics")
    with closing(reader), reader.cursor() as asked:
        asked.execute("show default_transaction_read_only")
        assert asked.fetchone() == ("on",)
        asked.execute("show statement_timeout")
        assert asked.fetchone() == ("1min",)
        asked.execute("select rolconnlimit from pg_roles where rolname = current_user")
        assert asked.fetchone() == (20,)
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(host=own_server, user="dashboard_reader", dbname="dagster")
    admin = psycopg2.connect(host=own_server, user="postgres", dbname="postgres")
    with closing(admin), admin.cursor() as asked:
        asked.execute("select left(rolpassword, 13) from pg_authid where rolname = 'promoter'")
        assert asked.fetchone() == ("SCRAM-SHA-256",)
        asked.execute(
            "select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member"
            " where r.rolname = 'boss' and (m.set_option or m.inherit_option)"
        )
        assert asked.fetchone() == (0,), "the administrator is a member for that time only"

    assert cli.main(["create-roles"]) == 0
    again = capsys.readouterr().out
    assert again.count("# The role was there") == 4
    assert again.count(":PASSWORD@") == 4


def test_roles_that_cannot_be_made_are_one_sentence(
    own_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PRODUCTION_ADMIN_URL", raising=False)
    assert cli.main(["create-roles"]) == 1
    assert capsys.readouterr().err.startswith("PRODUCTION_ADMIN_URL: it is not set.")
    for url in (
        f"postgresql://nobody@/postgres?host={own_server}",
        "postgresql://x:y@127.0.0.1:1/z",
    ):
        monkeypatch.setenv("PRODUCTION_ADMIN_URL", url)
        assert cli.main(["create-roles"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("the server of PRODUCTION_ADMIN_URL: ")
        assert "y@" not in line
