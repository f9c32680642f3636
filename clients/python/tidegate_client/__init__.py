"""Ask a tidegate policy service whether a call may pass, how much is left, and what may leave.

In front of an application, with all that it has behind Envoy (decided before it runs, the caller in x-tidegate-*
headers, its responses rewritten while they come, what was reserved settled). On ASGI, and on WSGI:

    app.add_middleware(TidegateAsgi, gate=AsyncTidegate("tidegate:9401"))

    app.wsgi_app = TidegateWsgi(app.wsgi_app, gate=Tidegate("tidegate:9401"))

In front of a gRPC service, on asyncio and not:

    grpc.aio.server(interceptors=[AsyncTidegateInterceptor(AsyncTidegate("tidegate:9401"), host="models.example.com")])

    grpc.server(pool, interceptors=[TidegateInterceptor(Tidegate("tidegate:9401"), host="models.example.com")])

The decision alone, in FastAPI, and everything else on ASGI:

    from tidegate_client import AsyncTidegate, from_asgi

    gate = AsyncTidegate("tidegate:9401", on_unavailable="deny")

    @app.middleware("http")
    async def policy(request, call_next):
        verdict = await gate.decide(**from_asgi(request.scope), body=await request.body())
        if verdict.allowed:
            return await call_next(request)
        return Response(verdict.body, verdict.status, dict(verdict.headers))

Flask:

    from tidegate_client import Tidegate, from_wsgi

    gate = Tidegate("tidegate:9401", on_unavailable="deny")

    @app.before_request
    def policy():
        verdict = gate.decide(**from_wsgi(request.environ), body=request.get_data())
        return None if verdict.allowed else (verdict.body, verdict.status, verdict.headers)

Without a service, in tests or beside one model: `LocalPolicy("policy.yaml")` and `LocalPolicySync("policy.yaml")` run
the same engine in this process and have the same methods.

The default is closed: when no answer comes, `decide` raises `TidegateUnavailable`, or is `Denied` with status 503.
With `breaker=Breaker()` a client does not ask a service that has not answered for some calls in a row.
"""

from tidegate_client.adapting import ResponseCutOff
from tidegate_client.aio import AsyncTidegate
from tidegate_client.aio_interceptor import AsyncTidegateInterceptor
from tidegate_client.asgi import TidegateAsgi
from tidegate_client.breaker import Breaker, CircuitOpen
from tidegate_client.channel import Tls
from tidegate_client.engine import PolicyEngine, SyncPolicyEngine
from tidegate_client.errors import TidegateError, TidegateInvalid, TidegateUnavailable
from tidegate_client.exchange import AsyncExchange, Exchange, HeadChanges, Release
from tidegate_client.interceptor import TidegateInterceptor
from tidegate_client.local import LocalPolicy, LocalPolicySync
from tidegate_client.results import (
    Allowed,
    Consumed,
    Coverage,
    Decision,
    Denied,
    Extension,
    Filtered,
    Finding,
    LimitState,
    Price,
)
from tidegate_client.stream import AsyncFilteredText, FilteredText
from tidegate_client.sync import Tidegate
from tidegate_client.web import from_asgi, from_wsgi
from tidegate_client.wsgi import TidegateWsgi

__all__ = [
    "Allowed",
    "AsyncExchange",
    "AsyncFilteredText",
    "AsyncTidegate",
    "AsyncTidegateInterceptor",
    "Breaker",
    "CircuitOpen",
    "Consumed",
    "Coverage",
    "Decision",
    "Denied",
    "Exchange",
    "Extension",
    "Filtered",
    "FilteredText",
    "Finding",
    "HeadChanges",
    "LimitState",
    "LocalPolicy",
    "LocalPolicySync",
    "PolicyEngine",
    "Price",
    "Release",
    "ResponseCutOff",
    "SyncPolicyEngine",
    "Tidegate",
    "TidegateAsgi",
    "TidegateError",
    "TidegateInterceptor",
    "TidegateInvalid",
    "TidegateUnavailable",
    "TidegateWsgi",
    "Tls",
    "from_asgi",
    "from_wsgi",
]
