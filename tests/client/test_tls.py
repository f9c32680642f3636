"""TLS and mTLS between client and service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tidegate_client import AsyncTidegate, Tidegate, TidegateUnavailable, Tls
from tidegate_client.background import Background

from tests.client.world import Awaited, World, held, make_servicer, serving
from tests.e2e.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def target(world: World, certificates: Certificates, loop: Background) -> Iterator[str]:
    """A service that wants a client certificate."""
    credentials = grpc.ssl_server_credentials(
        [(certificates.key.read_bytes(), certificates.cert.read_bytes())],
        root_certificates=certificates.ca.read_bytes(),
        require_client_auth=True,
    )
    with held(loop, serving(make_servicer(world).handlers(), credentials=credentials)) as target:
        yield target


def filtered(kind: Any, target: str, tls: Tls | None, loop: Background) -> str:
    if kind is Tidegate:
        with Tidegate(target, tls=tls, timeout=5, retries=0) as gate:
            return gate.filter_text("bob@example.com", rulesets=["pii"]).text
    with held(loop, AsyncTidegate(target, tls=tls, timeout=5, retries=0)) as client:
        text: str = Awaited(loop, client).filter_text("bob@example.com", rulesets=["pii"]).text
        return text


@pytest.mark.parametrize("kind", [Tidegate, AsyncTidegate])
def test_both_sides_prove_who_they_are(
    kind: Any, target: str, certificates: Certificates, loop: Background, tmp_path: Path
) -> None:
    ours = Tls(ca=certificates.ca, cert=certificates.cert, key=str(certificates.key))
    assert filtered(kind, target, ours, loop) == "[EMAIL]"

    stranger = make_certificates(tmp_path)
    for tls in (
        None,
        Tls(ca=certificates.ca),
        Tls(ca=certificates.ca, cert=stranger.cert, key=stranger.key),
        Tls(ca=stranger.ca, cert=certificates.cert, key=certificates.key),
    ):
        with pytest.raises(TidegateUnavailable):
            filtered(kind, target, tls, loop)


def test_half_a_client_certificate_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="both"):
        Tls(cert="cert.pem")
    with pytest.raises(ValueError, match="both"):
        Tls(key="key.pem")


@pytest.mark.parametrize("kind", [Tidegate, AsyncTidegate])
def test_a_file_that_is_not_there_is_no_answer(kind: Any, loop: Background, tmp_path: Path) -> None:
    with pytest.raises(TidegateUnavailable, match=r"gone\.pem: No such file or directory"):
        filtered(kind, "127.0.0.1:1", Tls(ca=tmp_path / "gone.pem"), loop)
