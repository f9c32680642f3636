"""What the chaos run does to a running stack. Each strike returns when it has put right what it broke.

Or when that is the service's own business. What it returns is what it looked at itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import struct
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from tidegate.demo.stack import find_envoy, running

from tests.load.checks import Check
from tests.load.kinds import KINDS
from tests.load.scene import Scene, at_least, none, shown_certificate
from tests.load.stack import Stack
from tests.load.traffic import HOST
from tests.load.watch import MEBI, look

ROTATIONS: Final = 6
HOUR: Final = 3600.0
_SLOW: Final = 8
_PIECES: Final = 60_000  # 11 MB of events
_MOST_GROWTH: Final = _SLOW * 6 * MEBI  # Envoy's buffers of one stream come to 4.3 MiB, without any filter, too


async def kill_a_worker(scene: Scene) -> Sequence[Check]:
    """SIGKILL. Its supervisor starts another."""
    stack = scene.stack
    killed = stack.worker_pids()[0]
    os.kill(killed, signal.SIGKILL)
    await scene.until(lambda: len(stack.worker_pids()) == stack.workers and killed not in stack.worker_pids())
    await scene.until_serving()
    return ()


async def replace_the_workers(scene: Scene) -> Sequence[Check]:
    """SIGUSR2: one after another, each drained."""
    stack = scene.stack
    before = stack.worker_pids()
    stack.tidegate.send(signal.SIGUSR2)
    await scene.until(lambda: "every worker is replaced" in stack.tidegate.log.read_text(errors="replace"), 120)
    return (none("workers that are the old ones", len(set(before) & set(stack.worker_pids()))),)


async def freeze_redis(scene: Scene) -> Sequence[Check]:
    """Five seconds in which it takes calls and answers none."""
    pid = scene.stack.redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await scene.passes(5)
        exact = await asyncio.to_thread(scene.stack.metric, "tidegate_store_exact")
    finally:
        os.kill(pid, signal.SIGCONT)
    return (none("workers that went on believing in it", exact),)


async def restart_redis(scene: Scene) -> Sequence[Check]:
    """SIGKILL; three seconds later it is back, with what it had written down."""
    scene.stack.redis.stop(kill=True)
    await scene.passes(3)
    exact = await asyncio.to_thread(scene.stack.metric, "tidegate_store_exact")
    await asyncio.to_thread(scene.stack.redis.start)
    return (none("workers that went on believing in it", exact),)


async def reload_the_policy(scene: Scene) -> Sequence[Check]:
    """Another policy each second, twelve times, and each third of them is cut in half."""
    stack, file = scene.stack, scene.stack.directory / "policy.yaml"
    whole = file.read_text()
    seen = set()
    for number in range(1, 13):
        changed = whole.replace("limit: 1000000000,", f"limit: {1000000000 + number},")
        file.write_text(changed if number % 3 else changed[: len(changed) // 2])
        await scene.passes(1)
        lines = (await asyncio.to_thread(stack.metrics, 0)).splitlines()
        seen.update(line for line in lines if line.startswith("tidegate_policy_info{"))
    file.write_text(whole)
    refused = await asyncio.to_thread(stack.metric, "tidegate_policy_reload_failures_total", 0)
    return (
        at_least("versions that were in force", len(seen), 4),
        at_least("files that were refused", refused, 2),
    )


async def rotate_certificates(scene: Scene) -> Sequence[Check]:
    """Another certificate and key each second; for a third of it they do not belong together."""
    stack, tls = scene.stack, scene.stack.directory / "tls"
    for number in range(1, ROTATIONS):
        shutil.copy(tls / str(number) / "cert.pem", tls / "cert.pem")
        await scene.passes(0.35)
        shutil.copy(tls / str(number) / "key.pem", tls / "key.pem")
        await scene.passes(0.65)
    client = tls / "client"
    last = ssl.PEM_cert_to_DER_cert((tls / "cert.pem").read_text())
    stale = [
        await asyncio.to_thread(shown_certificate, stack.first_port + index, client / "cert.pem", client / "key.pem")
        != last
        for index in range(stack.workers)
    ]
    opened = await asyncio.to_thread(stack.stat, "cluster.tidegate.upstream_cx_total")
    return (
        none("workers that show another certificate than the last", sum(stale)),
        at_least("connections of Envoy's to the workers", opened, 3 * ROTATIONS),
    )


async def slow_clients(scene: Scene) -> Sequence[Check]:
    """Eight clients ask for 11 MB each, and read a byte a second, for fifteen seconds."""
    stack = scene.stack
    everyone = {**{f"worker {index}": pid for index, pid in enumerate(stack.worker_pids())}, "Envoy": stack.envoy.pid}
    before = {name: _resident(pid) for name, pid in everyone.items()}
    most = dict(before)
    kind = replace(KINDS["leaver"], pieces=_PIECES, gap=0.0)
    ended = read = 0
    with ExitStack() as opened:
        clients = [opened.enter_context(socket.socket()) for _ in range(_SLOW)]
        for seed, client in enumerate(clients):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", stack.port))
            client.sendall(kind.request(HOST, stack.keys[kind.caller], 1_000_000 + seed))
            client.setblocking(False)
        for _ in range(15):
            await scene.passes(1)
            came = [_one_byte(client) for client in clients]
            ended += came.count(b"")
            read += sum(map(len, filter(None, came)))
            most = {name: max(most[name], _resident(pid)) for name, pid in everyone.items()}
    return [
        none("streams that ended", ended),
        at_least("bytes that they read", read, 3 * _SLOW),
        *(_grew(name, most[name] - size) for name, size in before.items()),
    ]


async def freeze_the_model(scene: Scene) -> Sequence[Check]:
    """Five seconds in which it takes requests and says nothing, in mid-stream too."""
    scene.stack.model.send(signal.SIGSTOP)
    try:
        await scene.passes(5)
        waiting = await asyncio.to_thread(scene.stack.metric, "tidegate_streams")
    finally:
        scene.stack.model.send(signal.SIGCONT)
    return (at_least("exchanges that waited for it", waiting, 2),)


async def reset_the_model(scene: Scene) -> Sequence[Check]:
    """Five times, half a second apart, the connections of all answers that are being written are reset."""
    reset = 0
    for _ in range(5):
        reset += await asyncio.to_thread(_reset, scene.stack)
        await scene.passes(0.5)
    return (at_least("answers that were reset", reset, 5),)


async def hot_restart_envoy(scene: Scene) -> Sequence[Check]:
    """A second Envoy takes over the first one's sockets (`--restart-epoch 1`), which drains and ends."""
    stack = scene.stack
    base = (stack.directory / "base-id").read_text().strip()
    command = [find_envoy(), "-c", stack.directory / "envoy.yaml", "--base-id", base, "--restart-epoch", "1"]
    command += [*DRAIN, "--concurrency", "2", "--log-level", "warn"]
    scene.exits.enter_context(
        running(command, stack.directory / "envoy-1.log", ready=lambda: _epoch(stack) == 1, timeout=60)
    )
    await scene.until(lambda: not stack.envoy.running, 60)
    return (none("exit status of the old Envoy", stack.envoy.wait()),)


DRAIN: Final = ("--drain-time-s", "3", "--parent-shutdown-time-s", "6")


async def fill_the_disk(scene: Scene) -> Sequence[Check]:
    """For four seconds no file of the workers may grow, which is what a full disk looks like to them."""
    stack = scene.stack
    size = min(file.stat().st_size for file in stack.audit.glob("*.jsonl"))
    with _limited(stack.worker_pids(), size):
        await scene.passes(4)
        available = await asyncio.to_thread(stack.metric, "tidegate_audit_available")
    return (none("workers that could write", available),)


async def move_the_clock(scene: Scene) -> Sequence[Check]:
    """The workers' wall clock is an hour ahead for four seconds, then an hour behind, then right."""
    file = scene.stack.directory / "clock"
    ended, refused = {"reason": "credential_expired", "outcome": "deny"}, [0.0]
    for ahead in (HOUR, -HOUR):
        write_clock(file, ahead)
        await scene.passes(4)
        refused.append(await asyncio.to_thread(scene.stack.metric, "tidegate_decisions_total", **ended))
    write_clock(file, 0.0)
    return (at_least("refusals of tokens that have ended by a clock that is ahead", refused[1], 2),)


def write_clock(file: Path, seconds: float) -> None:
    """By how much the clock is off of those that read `file`; in place, because they have it mapped."""
    with file.open("r+b" if file.exists() else "wb") as clock:
        clock.write(struct.pack("d", seconds))


def _resident(pid: int) -> int:
    return look(pid, 0.0).resident


def _grew(name: str, size: int) -> Check:
    limit = f"less than {_MOST_GROWTH / MEBI:g} MiB"
    return Check(f"growth of {name}", limit, f"{size / MEBI:+.1f} MiB", size < _MOST_GROWTH)


def _one_byte(client: socket.socket) -> bytes | None:
    """The next byte, b"" at the end, None while there is none."""
    try:
        return client.recv(1)
    except BlockingIOError:
        return None


@contextmanager
def _limited(pids: Sequence[int], size: int) -> Iterator[None]:
    """No file that these processes write may be longer, bytes, while the block runs."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def _reset(stack: Stack) -> int:
    """How many answers the model broke off."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.model_port}/reset", timeout=10) as answer:
        return int(json.load(answer)["reset"])


def _epoch(stack: Stack) -> int:
    """Of the Envoy that has the admin page now; -1 while none is there, or it is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.admin}/server_info", timeout=10) as answer:
            told = json.load(answer)
    except OSError:
        return -1
    return int(told["command_line_options"]["restart_epoch"]) if told["state"] == "LIVE" else -1
