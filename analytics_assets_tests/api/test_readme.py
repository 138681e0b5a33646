"""The examples of the README, run as they stand, against a server on another port."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

README = Path(__file__).parents[2] / "README.md"
PAGE = README.read_text().partition("## The API")[2].partition("\n## ")[0]
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()
]
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def there(text: str, client: httpx.Client) -> str:
    """The example, asking the tests' own server."""
    return text.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_rows(client: httpx.Client, command: str) -> None:
    assert command.startswith("curl ")
    ran = subprocess.run(
        there(command, client), shell=True, capture_output=True, text=True, check=True
    )
    answer = json.loads(ran.stdout)
    assert answer.get("success", True)
    assert answer["data"]


def test_the_program_reads_every_page(client: httpx.Client) -> None:
    assert "limit=1000" in PYTHON
    small = there(PYTHON, client).replace("limit=1000", "limit=2")
    ran = subprocess.run([sys.executable, "-c", small], capture_output=True, text=True, check=True)
    asked = {"year": 2023, "limit": 1000}
    page = client.get("/api/v1/births/municipality/monthly", params=asked).json()
    assert int(ran.stdout) == sum(row["total_births"] for row in page["data"]) > 0


def test_every_route_of_the_page_is_one(client: httpx.Client) -> None:
    paths = set(client.get("/openapi.json").json()["paths"])
    named = {name for name in re.findall(r"`(/[\w/{}.-]+)`", PAGE) if name != "/docs"}
    for name in named:
        ends = [path for path in paths if path.rstrip("/").endswith(name.rstrip("/"))]
        assert ends, name
