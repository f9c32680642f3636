"""A policy file to a compiled policy, or to every problem that stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.errors import PolicyError, Problem
from tidegate.filtering.detectors import expand
from tidegate.filtering.spotting import Spotter
from tidegate.policy.asked import first_asked
from tidegate.policy.compile import compile_policy
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_lists import compile_lists, list_files
from tidegate.policy.compiled_prompts import compile_prompts, prompt_files
from tidegate.policy.consistency import check
from tidegate.policy.content_safety import remotes, secret_of
from tidegate.policy.document import MAX_BYTES, dotted, read
from tidegate.policy.document import Path as Place
from tidegate.policy.keysets import KeySet, read_keys
from tidegate.policy.materials import Materials
from tidegate.policy.names import NamesMissing, names_spotter
from tidegate.policy.safety_spotters import spotters as safety_spotters
from tidegate.policy.schema import Document
from tidegate.policy.schemas import read_schemas, schema_sources
from tidegate.policy.secrets import read_secret
from tidegate.policy.signing_keys import SigningKey, read_signing_key
from tidegate.policy.validate import MAX_PROBLEMS, Report, validate

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518 section 3.2: as long as the hash


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `files` are the files that the document refers to, also when it has problems."""

    policy: Policy | None
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]

    def unwrap(self) -> Policy:
        """The policy, or a PolicyError with every problem."""
        if self.policy is None:
            raise PolicyError(self.problems)
        return self.policy


def load_policy(path: Path, *, keys_base: Path | None = None) -> Policy:
    """Read, validate and compile a policy file. Files that it names are relative to it, or to `keys_base`.

    Raises PolicyError with all problems, in the order of the file's lines.
    """
    return examine_file(path, keys_base=keys_base).unwrap()


def parse_policy(text: str, *, file: str = "<policy>", base: Path = Path()) -> Policy:
    """`load_policy` for a text; `file` is its name in problems, `base` what the files it names are relative to."""
    return examine(text, file=file, base=base).unwrap()


def examine_file(path: Path, *, keys_base: Path | None = None) -> Outcome:
    """Everything that `load_policy` finds out, without raising."""
    text = read_text(path)
    if isinstance(text, Problem):
        return _failed(text)
    return examine(text, file=str(path), base=path.parent if keys_base is None else keys_base)


def read_text(path: Path) -> str | Problem:
    """The text of a file, cut off where it is too large for `document.read`, or why there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem(str(path), line, dotted(()), "is not UTF-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "bad file name"
        return Problem(str(path), 1, dotted(()), f"cannot be read: {reason}")


def examine(text: str, *, file: str, base: Path) -> Outcome:
    """Everything that `parse_policy` finds out, without raising."""
    tree = read(text, file)
    report = Report(file, tree, problems=list(tree.problems))
    if not tree.complete or not tree.marks:
        return _failed(*report.problems or [Problem(file, 1, dotted(()), "the document is empty")])
    document = validate(report)
    if document is None:
        return _failed(*report.problems)
    check(document, report)
    places = first_asked(document)
    keysets, secrets = _read_keysets(document, base, report), _read_secrets(document, base, report)
    materials = Materials(
        keysets=keysets,
        secrets=secrets,
        listed=compile_lists(document, base, report),
        prompts=compile_prompts(document, base, report),
        schemas=read_schemas(document, base, report),
        spotters=(*_open_names(places, document, report), *_open_safety(places, document, report, secrets)),
        signing_keys=_read_signing_keys(document, base, report),
    )
    files = _files(document, base)
    if report.problems or not report.whole:
        return _failed(*report.problems, files=files)
    return Outcome(compile_policy(document, tree.data, base, materials), (), files)


def _open_names(asked: dict[str, Place], document: Document, report: Report) -> tuple[Spotter, ...]:
    try:
        names = names_spotter(document.names, asked)
    except NamesMissing as error:
        report.at(error.path, str(error))
        return ()
    return () if names is None else (names,)


def _open_safety(
    asked: dict[str, Place], document: Document, report: Report, secrets: dict[str, bytes]
) -> tuple[Spotter, ...]:
    return () if report.problems else safety_spotters(document.content_safety, expand(asked), secrets)


def _read_keysets(document: Document, base: Path, report: Report) -> dict[str, KeySet]:
    keysets: dict[str, KeySet] = {}
    for index, issuer in enumerate(document.platform.identity.issuers):
        if issuer.jwks_file is not None:
            try:
                keysets[issuer.jwks_file] = read_keys(base / issuer.jwks_file)
            except ValueError as error:
                report.at(("platform", "identity", "issuers", index, "jwks_file"), str(error))
    return keysets


def _read_secrets(document: Document, base: Path, report: Report) -> dict[str, bytes]:
    """Secrets by the name of their issuer, endpoint or service."""
    secrets: dict[str, bytes] = {}

    def read(name: str, path: tuple[str | int, ...], prefix: str, part: Any, *, at_least: int = 1) -> None:
        file, env = getattr(part, f"{prefix}_file"), getattr(part, f"{prefix}_env")
        try:
            place = None if file is None else base / file
            secrets[name] = read_secret(place, env, at_least=at_least, text=prefix != "secret")
        except ValueError as error:
            key = f"{prefix}_env" if file is None else f"{prefix}_file"
            report.at((*path, key), str(error))

    identity, within = document.platform.identity, ("platform", "identity")
    for index, issuer in enumerate(identity.shared_secrets):
        at_least = SECRET_BYTES[issuer.algorithm]
        read(issuer.name, (*within, "shared_secrets", index), "secret", issuer, at_least=at_least)
    if identity.introspection is not None:
        read(identity.introspection.name, (*within, "introspection"), "client_secret", identity.introspection)
    for index, endpoint in enumerate(identity.introspections):
        read(endpoint.name, (*within, "introspections", index), "client_secret", endpoint)
    for service, part in remotes(document.content_safety):
        read(secret_of(service), ("content_safety", service), "key", part)
    return secrets


def _read_signing_keys(document: Document, base: Path, report: Report) -> tuple[SigningKey, ...]:
    token = document.platform.context_token
    found: list[SigningKey] = []
    for index, key in enumerate(token.keys if token else ()):
        place: tuple[str | int, ...] = ("platform", "context_token", "keys", index)
        try:
            read = read_signing_key(None if key.file is None else base / key.file, key.env, private=not index)
        except ValueError as error:
            report.at((*place, "env" if key.file is None else "file"), str(error))
            continue
        if any(read.kid == other.kid for other in found):
            report.at(place, "the same key a second time")
        found.append(read)
    return tuple(found)


def _files(document: Document, base: Path) -> tuple[Path, ...]:
    identity = document.platform.identity
    names = [issuer.jwks_file for issuer in identity.issuers if issuer.jwks_file is not None]
    names += [issuer.secret_file for issuer in identity.shared_secrets if issuer.secret_file is not None]
    introspected = [*identity.introspections, *([identity.introspection] if identity.introspection else [])]
    names += [endpoint.client_secret_file for endpoint in introspected if endpoint.client_secret_file is not None]
    if identity.api_keys is not None and identity.api_keys.file is not None:
        names.append(identity.api_keys.file)
    if document.platform.revocation is not None and document.platform.revocation.file is not None:
        names.append(document.platform.revocation.file)
    if document.platform.context_token is not None:
        names += [key.file for key in document.platform.context_token.keys if key.file is not None]
    names += [source.schema_file for _, source in schema_sources(document) if source.schema_file is not None]
    names += [part.key_file for _, part in remotes(document.content_safety) if part.key_file is not None]
    return tuple(base / name for name in dict.fromkeys([*names, *list_files(document), *prompt_files(document)]))


def _failed(*problems: Problem, files: tuple[Path, ...] = ()) -> Outcome:
    ordered = sorted(problems, key=lambda problem: problem.line)
    if len(ordered) > MAX_PROBLEMS:
        more = Problem(ordered[0].file, ordered[MAX_PROBLEMS].line, dotted(()), "more problems follow")
        ordered = [*ordered[:MAX_PROBLEMS], more]
    return Outcome(None, tuple(ordered), files)
