"""The image without an engine: what is left of the base, and that the service needs nothing else and writes nowhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tidegate.demo.redis_server import free_port
from tidegate.demo.stack import serving

from tests.deploy.manifests import BASE, ROOT

DOCKERFILE = (ROOT / "service" / "Dockerfile").read_text()
KEYS = "{header: authorization, file: keys.yaml}"
PROGRAMS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")


def taking_away() -> str:
    """The Python program of the Dockerfile that takes all other programs away."""
    (found,) = re.findall(r"^RUN (\[.*\])$", DOCKERFILE, re.MULTILINE)
    python, flag, program = json.loads(found)
    assert (python, flag) == ("python", "-c")
    return str(program)


@pytest.mark.parametrize("merged", [True, False], ids=["one folder of programs", "two"])
def test_every_program_but_python_is_taken_away(merged: bool, tmp_path: Path) -> None:
    for place in ("usr/bin", "usr/sbin", "usr/local/bin", "usr/lib"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "sh").touch()
    for place in ("bin", "sbin"):
        if merged:
            (tmp_path / place).symlink_to(f"usr/{place}")
        else:
            (tmp_path / place).mkdir()
            (tmp_path / place / "dash").touch()
    library = tmp_path / "usr/local/lib/python3.12"
    for pip in ("site-packages/pip/__init__.py", "site-packages/pip-25.dist-info/METADATA", "ensurepip/__init__.py"):
        (library / pip).parent.mkdir(parents=True)
        (library / pip).touch()
    (tmp_path / "usr/local/bin/pip3.12").touch()
    (library / "pipes.py").touch()
    program = taking_away()
    assert all(f"'{place}'" in program for place in PROGRAMS)
    subprocess.run([sys.executable, "-c", program.replace("'/", f"'{tmp_path}/")], check=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"usr/local/bin/sh", "usr/lib/sh", "usr/local/lib/python3.12/pipes.py"}
    assert all((tmp_path / place.lstrip("/")).is_dir() for place in PROGRAMS)  # an engine may mount its own there


def test_the_environment_is_made_without_pip() -> None:
    """What is copied from the build is the environment; pip, in the base, installs into it from outside."""
    assert "RUN python -m venv --without-pip /opt/venv\n" in DOCKERFILE
    assert "PIP_PYTHON=/opt/venv/bin/python\n" in DOCKERFILE
    assert "/pip " not in DOCKERFILE


def test_nothing_asks_for_a_shell_once_there_is_none() -> None:
    after = DOCKERFILE.partition("FROM scratch AS runtime")[2]
    steps = re.findall(r"^(\s*)(RUN|CMD|ENTRYPOINT|SHELL) (.*)$", after, re.MULTILINE)
    assert {name for _, name, _ in steps} == {"CMD", "ENTRYPOINT"}
    assert all(isinstance(json.loads(rest), list) for _, _, rest in steps)


def closed_off(command: list[str], directory: Path) -> list[str]:
    """`command` where no program is in the usual places, and the root is read-only, but for `directory`."""
    empty = directory / "programs"
    empty.mkdir()
    python = Path(sys.executable).resolve()
    if str(python.parent) in PROGRAMS:
        shutil.copy2(python, empty)
    of_mount = os.path.realpath(str(Path(shutil.which("mount") or "/usr/bin/mount").parent))
    places = sorted({os.path.realpath(place) for place in PROGRAMS}, key=lambda place: place == of_mount)
    steps = [
        ["mount", "--bind", str(directory), str(directory)],
        ["mount", "--options", "remount,bind,ro", "/"],
        *(["mount", "--bind", str(empty), place] for place in places),
        ["exec", *command],
    ]
    return ["unshare", "--mount", "--map-root-user", "bash", "-c", " && ".join(map(shlex.join, steps))]


LOOK = """
import os, pathlib, shutil, subprocess, sys
assert not [name for name in ("sh", "bash", "ls", "apt-get", "perl") if shutil.which(name)]
for place in ("/", "/etc", "/usr/lib"):
    try:
        pathlib.Path(place, "tidegate-was-here").touch()
    except OSError:
        continue
    sys.exit(f"{place} can be written to")
try:
    os.system("true") and sys.exit(3)
finally:
    pathlib.Path(sys.argv[1]).touch()
"""


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that a closed-off process may write to."""
    folder = tmp_path / "closed"
    folder.mkdir()
    looked = subprocess.run(
        closed_off([sys.executable, "-c", LOOK, str(folder / "written")], folder), capture_output=True, text=True
    )
    if "unshare" in looked.stderr or "mount" in looked.stderr:
        pytest.skip(f"no mounts of one's own here: {looked.stderr.strip()}")
    assert looked.returncode == 3, looked.stderr  # there is nothing that could run `true`
    assert (folder / "written").exists()
    (folder / "programs").rename(folder / "looked")
    return folder


def test_the_service_needs_no_other_program_and_no_place_to_write(closed: Path) -> None:
    """Starts, is asked for its health as the image's health check does it, is scraped, drains."""
    policy, pepper = closed / "policy.yaml", closed / "pepper"
    policy.write_text((BASE / "policy.yaml").read_text().replace("{header: authorization}", KEYS))
    (closed / "keys.yaml").write_text("version: 1\nkeys: []\n")
    pepper.write_text("made up and of no use anywhere")
    listen, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    flags = ["--policy", policy, "--listen", listen, "--metrics", metrics, "--key-pepper-file", pepper]
    command = [sys.executable, "-m", "tidegate", "serve", *map(str, flags), "--health-grace", "0"]
    with (closed / "log").open("wb") as log, subprocess.Popen(closed_off(command, closed), stderr=log) as process:
        try:
            while not serving(listen):
                assert process.poll() is None, (closed / "log").read_text()
            with urllib.request.urlopen(f"http://{metrics}/metrics") as answer:
                assert b"tidegate_policy_info" in answer.read()
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (closed / "log").read_text()
