"""A FastAPI app behind a policy: three lines, and no policy code in the app.

TIDEGATE=127.0.0.1:9401 uvicorn --port 8000 fastapi_app:app
"""

import os

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from tidegate_client import AsyncTidegate, Breaker, TidegateAsgi

gate = AsyncTidegate(os.environ.get("TIDEGATE", "tidegate:9401"), breaker=Breaker())
app = FastAPI()
app.add_middleware(TidegateAsgi, gate=gate)


@app.post("/v1/chat/completions")
async def chat() -> StreamingResponse:
    """A model that says too much, one token at a time."""

    async def tokens():
        for token in ("Write", " to", " bob@", "example", ".com", " today"):
            yield f'data: {{"choices": [{{"index": 0, "delta": {{"content": "{token}"}}}}]}}\n\n'
        yield "data: [DONE]\n\n"

    return StreamingResponse(tokens(), media_type="text/event-stream")
