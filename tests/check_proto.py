"""The committed Python code of our own API is what protoc makes of `proto/`: checked byte for byte, or written anew."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import grpc_tools.protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "tidegate/v1/tidegate.proto"
TARGETS = (ROOT / "service/tidegate/api", ROOT / "clients/python/tidegate_client")


def generate(root: Path = ROOT) -> dict[str, bytes]:
    """File name → content of the message classes and their type stubs (the service is served by hand-written code)."""
    with tempfile.TemporaryDirectory() as out:
        status = grpc_tools.protoc.main(
            [
                "protoc",
                f"--proto_path={root / 'proto'}",
                f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
                f"--python_out={out}",
                f"--mypy_out=quiet,readable_stubs:{out}",
                SOURCE,
            ]
        )
        if status != 0:
            raise SystemExit(f"protoc failed on {SOURCE} (exit status {status})")
        return {path.name: path.read_bytes() for path in sorted((Path(out) / SOURCE).parent.glob("*_pb2.py*"))}


def stale(generated: dict[str, bytes], targets: tuple[Path, ...] = TARGETS) -> list[Path]:
    """Committed files that differ from `generated`, are missing, or should not be there."""
    wrong = [
        target / name
        for target in targets
        for name, content in generated.items()
        if not (target / name).is_file() or (target / name).read_bytes() != content
    ]
    strays = [path for target in targets for path in target.glob("*_pb2*.py*") if path.name not in generated]
    return sorted(wrong + strays)


def main(arguments: list[str] | None = None) -> int:
    """0 when everything is up to date (or was written), 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="regenerate instead of checking")
    write = parser.parse_args(arguments).write
    generated = generate()
    if write:
        for target in TARGETS:
            for name, content in generated.items():
                (target / name).write_bytes(content)
    wrong = stale(generated)
    for path in wrong:
        print(f"{path.relative_to(ROOT)} is not what protoc makes of proto/{SOURCE}: run `make proto`", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
