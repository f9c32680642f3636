"""A Process that makes the request body longer and leaves content-length as it was."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tests.e2e import noop_policy

ADDED = b" and more"


async def process(messages: AsyncIterator[ext_proc.ProcessingRequest], context: Any) -> None:
    async def others() -> AsyncIterator[ext_proc.ProcessingRequest]:
        async for message in messages:
            response = ext_proc.ProcessingResponse()
            match message.WhichOneof("request"):
                case "request_headers":
                    response.request_headers.SetInParent()
                case "request_body":
                    response.request_body.response.body_mutation.body = message.request_body.body + ADDED
                case "request_trailers":
                    response.request_trailers.SetInParent()
                case _:
                    yield message
                    continue
            await context.write(response)

    await noop_policy.process(others(), context)


if __name__ == "__main__":
    uvloop.run(noop_policy.serve(sys.argv[1], process))
