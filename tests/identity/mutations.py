"""What is done to a finished token: `mutate` in tests/cases/jwt_adversarial.yaml names one of these."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.identity.forge import ISSUER, NOW, b64, compact, forge, good_claims, jwk_of, token

_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group of P-256: r and s of a signature are below it."""
_ED25519 = 2**252 + 27742317777372353535851937790883648493
"""The same of Ed25519, for s."""


def _segments(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda text: ".".join(change(text.split(".")))


def _other_spare_bits(segment: str) -> str:
    """The same bytes, written with other spare bits in the last character (RS256: 342 characters, 4 spare bits)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 in (2, 3)
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]


def _point(change: Callable[[int, int], tuple[int, int]], size: int = 32) -> Callable[[str], str]:
    """An ES256 signature with another r and s, each of `size` bytes."""

    def mutate(text: str) -> str:
        signed, _, signature = text.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        r, s = change(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        return f"{signed}.{b64(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}"

    return mutate


def _in_der(text: str) -> str:
    """An ES256 signature as X.509 and OpenSSL write it."""
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{signed}.{b64(encode_dss_signature(int.from_bytes(raw[:32], 'big'), int.from_bytes(raw[32:], 'big')))}"


def _modulus_more(text: str) -> str:
    """An RSA signature plus the modulus: congruent, and out of range (RFC 8017 section 5.2.2)."""
    signed, _, signature = text.rpartition(".")
    modulus = int.from_bytes(base64.urlsafe_b64decode(jwk_of("rsa")["n"] + "=="), "big")
    more = int.from_bytes(base64.urlsafe_b64decode(signature + "=="), "big") + modulus
    return f"{signed}.{b64(more.to_bytes((more.bit_length() + 7) // 8, 'big'))}"


def _edwards_s_plus_l(text: str) -> str:
    """An Ed25519 signature whose s is out of range by the group's order (RFC 8032 section 5.1.7)."""
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    more = int.from_bytes(raw[32:], "little") + _ED25519
    return f"{signed}.{b64(raw[:32] + more.to_bytes(32, 'little'))}"


MUTATIONS: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: text,
    "empty": lambda text: "",
    "dots": lambda text: "..",
    "two_segments": lambda text: text.rpartition(".")[0],
    "four_segments": lambda text: text + ".AAAA",
    "five_segments": lambda text: "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA",
    "leading_dot": lambda text: "." + text,
    "no_signature": _segments(lambda s: [s[0], s[1], ""]),
    "no_payload": _segments(lambda s: [s[0], "", s[2]]),
    "no_header": _segments(lambda s: ["", s[1], s[2]]),
    "short_signature": _segments(lambda s: [s[0], s[1], s[2][:-4]]),
    "zero_signature": _segments(lambda s: [s[0], s[1], b64(bytes(len(base64.urlsafe_b64decode(s[2] + "=="))))]),
    "long_signature": _segments(lambda s: [s[0], s[1], s[2][:-2] + "AAAAAAAA"]),
    "padded": lambda text: text + "==",
    "padded_header": _segments(lambda s: [s[0] + "=", s[1], s[2]]),
    "trailing_newline": lambda text: text + "\n",
    "leading_space": lambda text: " " + text,
    "inner_space": _segments(lambda s: [s[0], s[1][:8] + " " + s[1][8:], s[2]]),
    "inner_newline": _segments(lambda s: [s[0], s[1], s[2][:8] + "\r\n" + s[2][8:]]),
    "nul": _segments(lambda s: [s[0], s[1], s[2] + "\x00"]),
    "spare_bits": _segments(lambda s: [s[0], s[1], _other_spare_bits(s[2])]),
    "standard_alphabet": _segments(lambda s: [s[0], s[1], "+/" + s[2][2:]]),
    "not_ascii": _segments(lambda s: [s[0], s[1], "é" + s[2][1:]]),
    "full_width": _segments(lambda s: [s[0], s[1], "\uff21" + s[2][1:]]),
    "surrogate": _segments(lambda s: [s[0], s[1], "\udc80" + s[2][1:]]),
    "length_one_mod_four": _segments(lambda s: [s[0], s[1], s[2][:-1]]),
    "too_long": lambda text: text + "A" * 16_384,
    "one_bit_header": _segments(lambda s: [b64(_flip(s[0])), s[1], s[2]]),
    "one_bit_signature": _segments(lambda s: [s[0], s[1], b64(_flip(s[2]))]),
    "swap_payload": _segments(lambda s: [s[0], b64(compact(good_claims() | {"sub": "mallory"})), s[2]]),
    "sha_of_itself": _segments(lambda s: [s[0], s[1], b64(hashlib.sha256(s[1].encode()).digest())]),
    "der_signature": _in_der,
    "r_zero": _point(lambda r, s: (0, s)),
    "s_zero": _point(lambda r, s: (r, 0)),
    "r_is_n": _point(lambda r, s: (_P256, s)),
    "s_is_n": _point(lambda r, s: (r, _P256)),
    "r_and_s_one": _point(lambda r, s: (1, 1)),
    "r_and_s_swapped": _point(lambda r, s: (s, r)),
    "s_plus_n": _point(lambda r, s: (r, s + _P256), size=33),
    "wide_coordinates": _point(lambda r, s: (r, s), size=48),
    "other_s": _point(lambda r, s: (r, _P256 - s)),
    "modulus_more": _modulus_more,
    "edwards_s_plus_l": _edwards_s_plus_l,
    "edwards_anybodys": _segments(lambda s: [s[0], s[1], b64(b"\1" + bytes(63))]),
    "edwards_no_s": _segments(lambda s: [s[0], s[1], b64(base64.urlsafe_b64decode(s[2] + "==")[:32] + bytes(32))]),
    "leading_zero_signature": _segments(lambda s: [s[0], s[1], b64(b"\0" + base64.urlsafe_b64decode(s[2] + "=="))]),
    "cut_in_header": lambda text: text[: text.index(".") - 4],
    "cut_in_payload": lambda text: text[: text.rindex(".") - 4],
    "cut_after_payload": lambda text: text[: text.rindex(".") + 1],
    "first_byte_lost": lambda text: text[1:],
    "header_and_payload_swapped": _segments(lambda s: [s[1], s[0], s[2]]),
    "header_twice": _segments(lambda s: [s[0], s[0], s[2]]),
    "anothers_signature": _segments(lambda s: [s[0], s[1], token(good_claims() | {"jti": "2"}).split(".")[2]]),
    "two_tokens": lambda text: f"{text}.{text}",
    "json_serialization": _segments(
        lambda s: ['{"protected":"' + s[0] + '"', '"payload":"' + s[1] + '"', '"signature":"' + s[2] + '"}']
    ),
    "jwe_direct": lambda text: f"{b64(compact({'alg': 'dir', 'enc': 'A256GCM'}))}..AAAA.{text.split('.')[1]}.AAAA",
    "jwe_of_three": _segments(lambda s: [b64(compact({"alg": "dir", "enc": "A256GCM", "kid": "rsa"})), s[1], s[2]]),
    "percent_encoded": lambda text: text.replace(".", "%2E"),
    "comma_for_a_dot": lambda text: text.replace(".", ","),
    "full_width_dots": lambda text: text.replace(".", "\uff0e"),
    "zero_width_joiner": _segments(lambda s: [s[0][:4] + "\u200d" + s[0][4:], s[1], s[2]]),
    "right_to_left_mark": lambda text: text + "\u200f",
    "quoted": lambda text: f'"{text}"',
    "tab_inside": _segments(lambda s: [s[0], s[1] + "\t", s[2]]),
    "padded_everywhere": _segments(lambda s: [part + "=" * (-len(part) % 4 or 4) for part in s]),
    "signature_in_hex": _segments(lambda s: [s[0], s[1], base64.urlsafe_b64decode(s[2] + "==").hex()]),
    "signature_in_upper_case": _segments(lambda s: [s[0], s[1], s[2].upper()]),
    "base64_of_the_whole": lambda text: b64(text.encode()),
}


def forged(case: Mapping[str, Any], now: float = NOW, iss: str = ISSUER) -> str:
    """The finished token of a case of the data file, for a clock that stands at `now`."""
    return mutated(case, forge(case, now, iss))


def mutated(case: Mapping[str, Any], text: str) -> str:
    """What a case makes of a finished token."""
    return MUTATIONS[case["mutate"]](text) if "mutate" in case else text


def _flip(segment: str) -> bytes:
    raw = bytearray(base64.urlsafe_b64decode(segment + "=="))
    raw[-1] ^= 1
    return bytes(raw)
