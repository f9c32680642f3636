"""OpenAI's own client, pointed at an app behind an adapter, raises what its users know how to catch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tidegate_client import Tidegate

from tests.client.sites import POLICY, SECRET, SITES, Site, site_of, waitress_site
from tests.client.world import HOST, World, free_port, make_world

MESSAGES: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("openai")), POLICY)


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, world: World) -> Iterator[Site]:
    with site_of(request.param, world) as site:
        yield site


def client(site: Site, key: str) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key, base_url=f"{site.http.base_url}/v1", max_retries=0, timeout=20, default_headers={"host": HOST}
    )


def code_of(error: openai.APIError) -> Any:
    return error.code


def test_its_users_get_the_errors_that_they_know(site: Site) -> None:
    site.model.json({"id": "c", "object": "chat.completion", "created": 1, "model": "small", "choices": []})
    with client(site, "sk-made-up") as stranger, pytest.raises(openai.AuthenticationError) as unknown:
        stranger.chat.completions.create(model="small", messages=MESSAGES)
    assert unknown.value.status_code == 401
    assert unknown.value.request_id
    with client(site, site.world.keys["frida"]) as frida:
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            frida.chat.completions.create(model="large", messages=MESSAGES)
        assert code_of(forbidden.value) == "model_not_allowed"
        assert frida.chat.completions.create(model="small", messages=MESSAGES).id == "c"
        gate = threading.Event()
        site.model.sse("One. ", gate, "Two. ", "[DONE]")
        stream = frida.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        assert next(iter(stream)).choices[0].delta.content is not None
        with pytest.raises(openai.RateLimitError) as over:
            frida.chat.completions.create(model="small", messages=MESSAGES)
        assert code_of(over.value) == "rate_limit_exceeded"
        assert int(over.value.response.headers["retry-after"]) >= 1
        assert "running" in over.value.message
        gate.set()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream).endswith("Two. ")


def test_what_is_withheld_is_an_error_of_its_own_kind(site: Site) -> None:
    site.model.json({"id": SECRET})
    with client(site, site.world.keys["frida"]) as frida:
        with pytest.raises(openai.PermissionDeniedError) as blocked:
            frida.chat.completions.create(model="small", messages=MESSAGES)
        assert code_of(blocked.value) == "content_blocked"
        site.model.headers, site.model.steps = {"content-type": "image/png"}, [b"\x89PNG"]
        with pytest.raises(openai.InternalServerError) as withheld:
            frida.chat.completions.create(model="small", messages=MESSAGES)
        assert (withheld.value.status_code, code_of(withheld.value)) == (502, "response_withheld")


def test_a_stream_that_is_blocked_raises_where_it_is_read(site: Site) -> None:
    site.model.sse("One. ", f"Two {SECRET} three. ", "[DONE]")
    with client(site, site.world.keys["frida"]) as frida:
        stream = frida.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        received: list[str] = []
        with pytest.raises(openai.APIError) as blocked:
            received += [chunk.choices[0].delta.content or "" for chunk in stream]
    assert code_of(blocked.value) == "content_blocked"
    assert SECRET not in "".join(received) + str(blocked.value)


def test_a_service_that_is_gone_is_an_error_that_its_users_try_again(world: World) -> None:
    with (
        Tidegate(f"127.0.0.1:{free_port()}", timeout=0.2) as gate,
        waitress_site(world, gate) as site,
        client(site, world.keys["frida"]) as frida,
        pytest.raises(openai.InternalServerError) as gone,
    ):
        frida.chat.completions.create(model="small", messages=MESSAGES)
    assert (gone.value.status_code, code_of(gone.value)) == (503, "policy_unavailable")
