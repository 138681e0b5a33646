"""Keys and settings in a backup: sealed, and back on another machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import analytics_assets.domains.clinic.domain  # noqa: F401  (says which settings are its)
from analytics_assets import settings
from analytics_assets.production import sealing
from analytics_assets.production.sealing import SealError, put_back, seal
from analytics_assets_tests.running import empty_home, environment_of

PASSPHRASE = "twelve or more"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "one"))
    monkeypatch.setenv("PRODUCTION_URL", "postgresql://promoter:pass$word@db/analytics")
    monkeypatch.setenv("CLINIC_SOURCE", "/data/clinic files")
    monkeypatch.setenv("BACKUP_PASSPHRASE", PASSPHRASE)
    (tmp_path / "one" / "dagster").mkdir(parents=True)
    (tmp_path / "one" / "clinic_pseudonym.key").write_text("0123456789abcdef")
    (tmp_path / "one" / "dagster" / "dagster.yaml").write_text("# mine\n")
    return tmp_path


def test_keys_and_settings_come_back_elsewhere(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = seal(settings.load(), PASSPHRASE)
    for secret in (b"0123456789abcdef", b"pass$word", b"mine"):
        assert secret not in sealed
    monkeypatch.setenv("ANALYTICS_HOME", str(machine / "two"))
    names = put_back(settings.load(), sealed, PASSPHRASE)
    assert names == ["clinic_pseudonym.key", "dagster/dagster.yaml", sealing.SETTINGS]
    for name in names:
        path = machine / "two" / name
        assert path.stat().st_mode & 0o777 == 0o600
        if name != sealing.SETTINGS:
            assert path.read_text() == (machine / "one" / name).read_text()
    # As a shell reads it; the passphrase is not among them.
    said = subprocess.run(
        ["bash", "-c", f"set -a; . {machine / 'two' / sealing.SETTINGS}; env"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    assert "PRODUCTION_URL=postgresql://promoter:pass$word@db/analytics\n" in said
    assert "CLINIC_SOURCE=/data/clinic files\n" in said
    assert "BACKUP_PASSPHRASE" not in said


@pytest.mark.parametrize(
    ("spoil", "passphrase", "why"),
    [
        (lambda sealed: sealed, "another passphrase", "is not the one"),
        (lambda sealed: sealed[:-40] + b"A" * 40, PASSPHRASE, "is not the one"),
        (lambda sealed: b"x" + sealed, PASSPHRASE, "none of this product's"),
        (lambda sealed: b"", PASSPHRASE, "none of this product's"),
    ],
)
def test_what_does_not_open_changes_nothing(
    machine: Path, monkeypatch: pytest.MonkeyPatch, spoil, passphrase: str, why: str
) -> None:
    sealed = seal(settings.load(), PASSPHRASE)
    monkeypatch.setenv("ANALYTICS_HOME", str(machine / "two"))
    with pytest.raises(SealError, match=why):
        put_back(settings.load(), spoil(sealed), passphrase)
    assert not (machine / "two").exists()


def test_another_key_is_not_overwritten(machine: Path) -> None:
    sealed = seal(settings.load(), PASSPHRASE)
    key = machine / "one" / "clinic_pseudonym.key"
    put_back(settings.load(), sealed, PASSPHRASE)
    key.write_text("fedcba9876543210")
    with pytest.raises(SealError, match="is another key than the one of the backup"):
        put_back(settings.load(), sealed, PASSPHRASE)
    assert key.read_text() == "fedcba9876543210"
    with pytest.raises(SealError, match="fewer than 12 characters"):
        seal(settings.load(), "short")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
@hypothesis_settings(max_examples=15, deadline=None)
def test_any_value_is_what_a_shell_reads(value: str) -> None:
    line = f'x={sealing._quoted(value)}; printf %s "$x"'
    said = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert said.stdout.decode() == value


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lost_machine_is_back_by_two_commands_after_its_installation() -> None:
    """The same rows under the same pseudonyms; what was published is not published again."""

    def typed(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "analytics_assets", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    asked = (
        "select (select md5(string_agg(t::text, '' order by t::text)) from clinic.fct_appointments"
        " t) as rows, (select count(*) from promotion.release where kind <> 'restore') as releases"
    )
    with empty_home() as lost, empty_home() as new:
        before = environment_of(lost, "clinic", BACKUP_PASSPHRASE=PASSPHRASE)
        typed(before, "materialize")
        assert "keys and settings: sealed in it" in typed(before, "backup")
        rows = typed(before, "psql", asked).splitlines()[1].split(",")[0]
        key = (lost / "clinic_pseudonym.key").read_text()
        shutil.copytree(lost / "backups", new / "backups")
        shutil.rmtree(lost / "lake")

        after = environment_of(new, "clinic")
        refused = typed(after, "restore", "--everything", code=1)
        assert "Set BACKUP_PASSPHRASE to what the backup was sealed with" in refused
        after["BACKUP_PASSPHRASE"] = PASSPHRASE
        said = typed(after, "restore", "--everything")
        assert "put back: clinic_pseudonym.key, dagster/dagster.yaml, settings.env" in said
        assert (new / "clinic_pseudonym.key").read_text() == key
        assert typed(after, "psql", asked).splitlines()[1].split(",")[0] == rows
        typed(after, "materialize")
        assert typed(after, "psql", asked).splitlines()[1].split(",")[0] == rows
        again = typed(after, "restore", "--everything", code=1)
        assert "Production is not empty" in again
