"""`make fuzz MINUTES=10`: each target for so long, guided by coverage (atheris), as many at once as processors.

`python -m tests.fuzz TARGET --seconds 60` fuzzes one. What it finds is written below `.fuzz/TARGET`, and becomes a
named test beside those of what broke. atheris has wheels for Linux alone; elsewhere inputs are mutated without
guidance.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(".fuzz")
NAMES = ("token", "signed", "proof", "request", "path", "forwarded", "policy", "strict_json")
_LONGEST = 8192


def main() -> int:
    """Fuzz one target here, or each in a process of its own. 1 when something was found."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("target", nargs="?", choices=NAMES, help="one target; without it, all")
    arguments.add_argument("--seconds", type=int, default=600, help="how long each")
    given = arguments.parse_args()
    if given.target:
        return fuzz(given.target, given.seconds)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda name: _apart(name, given.seconds), NAMES))
    for name, code in zip(NAMES, codes, strict=True):
        print(f"{name:12} {'ok' if code == 0 else f'FOUND, status {code}: {FOLDER / name}'}")
    return int(any(codes))


def _apart(name: str, seconds: int) -> int:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds)]
    with (folder / "log").open("wb") as log:
        return subprocess.run(command, stdout=log, stderr=log).returncode


def fuzz(name: str, seconds: int) -> int:
    """Fuzz one target; does not return where atheris does it."""
    folder = FOLDER / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        return _unguided(name, seconds, folder)
    with atheris.instrument_imports(include=["tidegate"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.seeds import seeds

    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-artifact_prefix={folder}/found-",
        "-timeout=60",
        "-report_slow_units=30",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()
    return 0


def _unguided(name: str, seconds: int, folder: Path) -> int:
    from tests.fuzz.mutate import mutated
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS

    print("without atheris: inputs are mutated without guidance by coverage")
    chance, given, until, tried = random.Random(), seeds(name), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(chance.choice(given), chance)
        try:
            TARGETS[name](data)
        except Exception:
            (folder / "found-input").write_bytes(data)
            raise
        tried += 1
    print(f"{tried} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
