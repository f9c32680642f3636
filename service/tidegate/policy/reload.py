"""The policy in force, and its replacement while the process runs: on a signal, or when a file changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import Change, awatch

from tidegate.errors import PolicyError, Problem
from tidegate.policy.compiled import Policy
from tidegate.policy.load import Outcome, examine_file

# Milliseconds: how long changes are gathered before they count as one, and after how long the files are looked at
# without any event, because network file systems send none and a link may lead through folders that are not watched.
DEBOUNCE = 400
LOOK_AGAIN = 1_000

_Stat = tuple[int, int, int, int] | None
_Prints = dict[Path, _Stat]


class PolicySource:
    """Holds the policy of one file. `current` is replaced whole, by a policy that compiled, or not at all.

    `files` are the policy file and the files that it names. `prepare` makes ready what comes with a policy and returns
    the step that puts it in force; it raises PolicyError to refuse the policy, and `watch` calls it on a thread. Where
    a policy is refused, it is called for the one in force: the revocation of a key waits for nobody to mend a policy.
    `on_change` gets every policy that replaces another, also when only the API key file changed; `on_error` gets what
    is wrong with a file that could not be used. They are called where `reload` is called, and in the event loop of
    `watch`; they must not raise.
    """

    def __init__(
        self,
        path: Path,
        *,
        prepare: Callable[[Policy], Callable[[], None]] | None = None,
        on_change: Callable[[Policy], None] | None = None,
        on_error: Callable[[PolicyError], None] | None = None,
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._on_change = on_change
        self._on_error = on_error
        self.files: tuple[Path, ...] = (path,)
        outcome, self._seen, adopt = self._attempt(None)
        self.current: Policy = outcome.unwrap()
        adopt()
        self.files = (path, *outcome.files)

    def reload(self) -> bool:
        """Read the file now. False, and the policy stays as it was, when there is anything wrong with it."""
        return self._settle(*self._attempt(self.current))

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload whenever the policy file or a file that it names changes, until `stop` is set.

        Folders are watched, not files: editors replace a file, and Kubernetes a link to its folder.
        """
        while not stop.is_set():
            await self._reload_if_changed()
            folders = self._folders()
            try:
                await self._watch_folders(folders, stop)
            # A folder went away just now, or the system has no watches left: look instead of listening. Whatever it is,
            # somebody has to, or nothing could be revoked any more.
            except Exception:  # noqa: BLE001
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_AGAIN / 1000)

    async def _watch_folders(self, folders: tuple[Path, ...], stop: asyncio.Event) -> None:
        """Reload on changes until `stop` is set or other folders matter."""
        names = {path.name for file in self._seen for path in (file, _real(file))}

        def matters(_: Change, path: str) -> bool:
            """Not so for what is a plain file of another name: a log that grows beside the policy, say."""
            changed = Path(path)
            return changed.name in names or changed.is_symlink() or not changed.is_file()

        changes = awatch(
            *folders,
            watch_filter=matters,
            debounce=DEBOUNCE,
            stop_event=_StopOf(stop),
            rust_timeout=LOOK_AGAIN,
            yield_on_timeout=True,
            recursive=False,
        )
        async with contextlib.aclosing(changes):
            async for _ in changes:
                await self._reload_if_changed()
                if self._folders() != folders:
                    return

    async def _reload_if_changed(self) -> None:
        before = self._seen
        if _look_at(before) != before:
            attempt = await asyncio.to_thread(self._attempt, self.current)
            if self._seen is before:  # or `reload` has read the files since, and this may be what stood there earlier
                self._settle(*attempt)

    def _attempt(self, current: Policy | None) -> tuple[Outcome, _Prints, Callable[[], None]]:
        """Read the policy, tell what all its files looked like before they were read, and prepare for it.

        Or, where it cannot be used, for the `current` one.
        """
        files, before = self.files, _look_at(self.files)
        try:
            outcome = examine_file(self._path)
            while unseen := [file for file in outcome.files if file not in before]:
                files = (*files, *unseen)
                before = _look_at(files)
                outcome = examine_file(self._path)
            if outcome.policy is not None and self._prepare is not None:
                try:
                    return outcome, before, self._prepare(outcome.policy)
                except PolicyError as error:
                    outcome = Outcome(None, error.problems, outcome.files)
        except Exception as failure:
            if current is None:
                raise
            outcome = Outcome(None, (Problem(str(self._path), 0, "", f"unexpected {type(failure).__name__}"),), files)
        return outcome, before, self._again(current) if outcome.policy is None else _nothing

    def _again(self, policy: Policy | None) -> Callable[[], None]:
        """What comes with the policy in force, read anew; nothing where that is at fault, or the policy is another."""
        if policy is None or self._prepare is None:
            return _nothing
        try:
            adopt = self._prepare(policy)
        except Exception:  # noqa: BLE001 - what is wrong with it was said of the new policy, or is when that is mended
            return _nothing
        return lambda: adopt() if policy is self.current else None

    def _settle(self, outcome: Outcome, seen: _Prints, adopt: Callable[[], None]) -> bool:
        """Take over what came of an attempt. The files of a faulty document stay watched too: one may be missing."""
        self._seen = seen
        if outcome.policy is None:
            adopt()
            if self._on_error is not None:
                self._on_error(PolicyError(outcome.problems))
            return False
        self.files = (self._path, *outcome.files)
        self.current = outcome.policy
        adopt()
        if self._on_change is not None:
            self._on_change(outcome.policy)
        return True

    def _folders(self) -> tuple[Path, ...]:
        """The folders of the files, and those that links lead to, as far as they exist."""
        folders = {folder for file in self._seen for folder in (file.parent.absolute(), _real(file).parent)}
        return tuple(sorted(folder for folder in folders if folder.is_dir()))


class _StopOf(asyncio.Event):
    """Set when another event is. Setting it leaves the other alone: `awatch` sets its event when it is cancelled."""

    def __init__(self, other: asyncio.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()


def _real(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # a link that leads to itself, until somebody puts it right
        return file


def _nothing() -> None:
    """What there is to do when nothing was prepared."""


def _look_at(files: Iterable[Path]) -> _Prints:
    return {file: _stat(file) for file in files}


def _stat(file: Path) -> _Stat:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
