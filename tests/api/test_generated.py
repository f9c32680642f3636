"""The committed protobuf code is up to date, and its two copies live in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import check_proto


def test_the_committed_code_is_what_protoc_makes() -> None:
    assert check_proto.stale(check_proto.generate()) == []


def test_a_changed_missing_or_stray_file_is_named(tmp_path: Path) -> None:
    generated = check_proto.generate()
    for name, content in generated.items():
        (tmp_path / name).write_bytes(content)
    assert check_proto.stale(generated, (tmp_path,)) == []

    (tmp_path / "tidegate_pb2.py").write_bytes(b"# edited by hand\n")
    (tmp_path / "tidegate_pb2.pyi").unlink()
    (tmp_path / "tidegate_pb2_grpc.py").write_bytes(b"")
    assert check_proto.stale(generated, (tmp_path,)) == sorted(
        tmp_path / name for name in ("tidegate_pb2.py", "tidegate_pb2.pyi", "tidegate_pb2_grpc.py")
    )


def test_both_copies_register_in_one_process_in_either_order() -> None:
    for first, second in (("tidegate.api", "tidegate_client"), ("tidegate_client", "tidegate.api")):
        script = (
            f"from {first} import tidegate_pb2 as one\n"
            f"from {second} import tidegate_pb2 as two\n"
            "message = one.DecideRequest(host='h', headers=[one.Header(name='a', value='b')])\n"
            "assert two.DecideRequest.FromString(message.SerializeToString()) == message\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
