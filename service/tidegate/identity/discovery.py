"""Where an issuer says that its keys are: OpenID Connect Discovery 1.0 section 4, or RFC 8414 section 3.

The document must name the very issuer that it was asked of (RFC 8414 section 3.3): otherwise one provider of several on
a host could hand out the keys of another.
"""

from __future__ import annotations

import httpx

from tidegate.identity.provider import Provider, Unusable, is_loopback


async def jwks_uri(provider: Provider, issuer: str) -> str:
    """The `jwks_uri` that `issuer` publishes. Raises what `Provider.get` raises, and Unusable for a bad document."""
    openid, oauth = addresses(issuer)
    try:
        document = await provider.get(openid)
    except Unusable as failure:
        if failure.status != 404:  # anything else is a provider in trouble, or one that plays a game
            raise
        document = await provider.get(oauth)
    if document.get("issuer") != issuer:
        raise Unusable("the metadata names another issuer")
    found = document.get("jwks_uri")
    if not isinstance(found, str) or not found.isascii() or len(found) > 2048:
        raise Unusable("the metadata names no jwks_uri")
    if httpx.URL(found).scheme != "https" and not is_loopback(httpx.URL(issuer).host):
        raise Unusable("the metadata leads to this machine")
    return found


def addresses(issuer: str) -> tuple[str, str]:
    """The well-known addresses of an issuer's metadata: OpenID Connect appends, RFC 8414 inserts before the path."""
    url = httpx.URL(issuer)
    path = url.path.rstrip("/")
    openid = url.copy_with(path=f"{path}/.well-known/openid-configuration")
    return str(openid), str(url.copy_with(path=f"/.well-known/oauth-authorization-server{path}"))
