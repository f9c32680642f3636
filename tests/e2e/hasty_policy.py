"""The mistake that Envoy forgives and nobody else: a Process that returns after the first part of a body, cleanly."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tests.e2e import noop_policy


async def process(messages: AsyncIterator[ext_proc.ProcessingRequest], context: Any) -> None:
    async for message in messages:
        if message.HasField("response_headers"):
            await context.write(noop_policy.HEADERS)
        else:
            return


if __name__ == "__main__":
    uvloop.run(noop_policy.serve(sys.argv[1], process))
