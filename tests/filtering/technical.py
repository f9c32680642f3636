# ruff: noqa: E501 (a line of made text is a line here)
"""Code and technical prose that holds no value: made from a seed, for counting what is found in it all the same.

Identifiers, versions, hashes, times, sizes, ids, paths and tables are drawn as they occur in answers about software. No
sentence of it is anybody's.
"""

from __future__ import annotations

from random import Random

_WORDS = [
    "token",
    "secret",
    "key",
    "account",
    "address",
    "location",
    "position",
    "driver",
    "license",
    "passport",
    "swift",
    "vat",
    "born",
    "region",
    "bucket",
    "queue",
    "lease",
    "shard",
    "index",
    "cursor",
    "offset",
    "buffer",
    "stream",
    "frame",
    "chunk",
    "header",
    "trailer",
    "cookie",
    "session",
    "worker",
    "thread",
    "socket",
    "pointer",
    "schema",
    "column",
    "table",
    "row",
    "record",
    "field",
    "value",
    "default",
    "timeout",
    "retry",
    "backoff",
    "cache",
    "entry",
    "policy",
    "limit",
    "window",
    "quota",
    "counter",
    "gauge",
    "histogram",
    "trace",
    "span",
    "metric",
    "label",
    "route",
    "cluster",
    "node",
    "replica",
    "leader",
    "follower",
    "epoch",
    "checksum",
    "digest",
]
_VERBS = [
    "returns",
    "opens",
    "closes",
    "reads",
    "writes",
    "locks",
    "flushes",
    "retries",
    "parses",
    "maps",
    "folds",
    "splits",
    "merges",
    "hashes",
    "signs",
]
_TYPES = ["int", "str", "bytes", "bool", "float", "list[str]", "dict[str,", "int]", "Path", "None"]
_EXTENSIONS = ["py", "rs", "go", "ts", "yaml", "json", "toml", "md", "lock", "proto"]


class Text:
    """One text, by its seed."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def make(self, size: int) -> str:
        """At least `size` characters."""
        makers = (
            self._prose, self._prose, self._function, self._call, self._log, self._diff, self._table, self._json,
            self._shell, self._yaml, self._css, self._sql, self._assembly, self._changelog,
        )  # fmt: skip
        parts: list[str] = []
        length = 0
        while length < size:
            parts.append(self._rng.choice(makers)())
            length += len(parts[-1]) + 1
        return "\n".join(parts)

    def _word(self) -> str:
        return self._rng.choice(_WORDS)

    def _name(self) -> str:
        words = self._rng.sample(_WORDS, self._rng.randint(1, 3))
        style = self._rng.randrange(4)
        if style == 0:
            return "_".join(words)
        if style == 1:
            return "_".join(words).upper()
        return words[0] + "".join(word.title() for word in words[1:]) if style == 2 else "".join(map(str.title, words))

    def _digits(self, least: int, most: int) -> str:
        return str(self._rng.randint(10**least, 10**most))

    def _hex(self, size: int) -> str:
        return f"{self._rng.getrandbits(4 * size):0{size}x}"

    def _uuid(self) -> str:
        return "-".join(self._hex(size) for size in (8, 4, 4, 4, 12))

    def _version(self) -> str:
        return ".".join(str(self._rng.randrange(40)) for _ in range(3))

    def _time(self) -> str:
        rng = self._rng
        return (
            f"{rng.randint(2001, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
            f"T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}Z"
        )

    def _path(self) -> str:
        return "/".join(self._word() for _ in range(3)) + "." + self._rng.choice(_EXTENSIONS)

    def _prose(self) -> str:
        one, two, three = (self._word() for _ in range(3))
        return self._rng.choice(
            (
                f"The {one} {self._rng.choice(_VERBS)} the {two} after {self._digits(1, 4)} ms, see line {self._digits(1, 3)} of `{self._path()}`.",
                f"Since version {self._version()} the {one} {two} is {self._digits(1, 9)} bytes; before that it was {self._version()}.",
                f"Pass `--{one}-{two}={self._digits(1, 6)}` and the {three} {self._rng.choice(_VERBS)} {self._digits(0, 2)} times out of {self._digits(2, 5)}.",
                f"It took {self._digits(0, 2)}.{self._digits(0, 4)} s on {self._time()[:10]} (commit {self._hex(7)}, build {self._digits(8, 11)}).",
                f"A {one} key is not a {two} token: the {three} number {self._digits(3, 6)} is an offset, the address 0x{self._hex(8)} a pointer.",
            )
        )

    def _function(self) -> str:
        name, one, two = self._name(), self._name(), self._name()
        return (
            f"def {name.lower()}({one.lower()}: {self._rng.choice(_TYPES)}, {two.lower()}={self._digits(0, 8)}) -> "
            f"{self._rng.choice(_TYPES)}:\n    {one.lower()} = {two.lower()}[{self._digits(0, 2)}::2] if "
            f"{self._name().lower()} else {self._name()}.{self._name().lower()}({self._digits(0, 12)})\n"
            f'    return f"{{{one.lower()}!r}}: {{{two.lower()}:>{self._digits(0, 1)}}}"  # {self._word()} {self._hex(40)}'
        )

    def _call(self) -> str:
        return (
            f"std::{self._word()}::<{self._name()}>::{self._word()}(&{self._word()}, "
            f"{self._digits(0, 5)}.{self._digits(0, 6)}, {self._digits(0, 2)}.{self._digits(0, 6)}, 0x{self._hex(16)});"
            f" token = get_{self._word()}_token({self._name()}) # secret_{self._word()}"
        )

    def _log(self) -> str:
        return (
            f"{self._time()} INFO [{self._word()}-{self._digits(0, 3)}] {self._name()}: request_id={self._uuid()} "
            f"took={self._digits(0, 5)}us size={self._digits(3, 10)} seq={self._digits(9, 15)} at 0x{self._hex(12)}"
        )

    def _diff(self) -> str:
        return (
            f"diff --git a/{self._path()} b/{self._path()}\nindex {self._hex(7)}..{self._hex(7)} 100644\n"
            f"@@ -{self._digits(0, 3)},{self._digits(0, 2)} +{self._digits(0, 3)},{self._digits(0, 2)} @@ {self._name()}\n"
            f"-    {self._name()} = {self._digits(0, 9)}\n+    {self._name()} = {self._digits(0, 9)}"
        )

    def _table(self) -> str:
        rows = (
            f"| {self._word()} | {self._digits(0, 6)} | {self._digits(0, 3)}.{self._digits(0, 3)} | {self._version()} |"
            for _ in range(3)
        )
        return "\n".join(rows)

    def _json(self) -> str:
        return (
            f'{{"id": "{self._uuid()}", "created": {self._digits(9, 10)}, "{self._word()}": [{self._digits(0, 9)}, '
            f'{self._digits(0, 12)}], "sha256": "{self._hex(64)}", "{self._word()}_token": null, "etag": "{self._hex(32)}"}}'
        )

    def _shell(self) -> str:
        return (
            f"$ docker run --rm -p {self._digits(3, 4)}:{self._digits(3, 4)} -e {self._name().upper()}=${self._word().upper()}_KEY "
            f"registry.local/{self._word()}/{self._word()}@sha256:{self._hex(64)} --{self._word()} {self._digits(0, 6)}"
        )

    def _yaml(self) -> str:
        return (
            f"{self._word()}:\n  image: {self._word()}:{self._version()}\n  secret_key: ${{{self._word().upper()}_SECRET}}\n"
            f"  ports: [{self._digits(3, 4)}, {self._digits(3, 4)}]\n  checksum: sha1-{self._hex(40)}"
        )

    def _css(self) -> str:
        return (
            f".{self._word()}-{self._word()}::{self._word()} {{ margin: {self._digits(0, 2)}px {self._digits(0, 2)}px; "
            f"color: #{self._hex(6)}; transform: translate(-{self._digits(0, 2)}.{self._digits(0, 4)}%, 50.{self._digits(3, 4)}%) }}"
        )

    def _sql(self) -> str:
        return (
            f"SELECT {self._word()}, count(*) FROM {self._word()} WHERE account_number > {self._digits(0, 5)} AND "
            f"created_at >= '{self._time()[:10]}' AND passport_id IS NOT NULL LIMIT {self._digits(0, 4)};"
        )

    def _assembly(self) -> str:
        return f"{self._hex(16)}: {self._hex(2)} {self._hex(2)} {self._hex(2)} {self._hex(2)}  mov rax, [rbp-0x{self._hex(2)}]"

    def _changelog(self) -> str:
        return (
            f"## {self._version()} ({self._time()[:10]})\n- {self._word()}: {self._word()} no longer "
            f"{self._rng.choice(_VERBS)} twice (#{self._digits(2, 5)}, {self._hex(9)})"
        )
