"""The shape of the policy document's part on credentials: how callers prove who they are."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tidegate.policy import addresses, times, words
from tidegate.policy.strict import Strict

_DPOP = (
    "Whether a token may (`optional`) or must (`required`) be bound to a key of the caller's (RFC 9449). One that is "
    "bound is good only with a proof by that key, and only under the scheme DPoP."
)
_TENANTS = (
    "The tenants that its tokens may be of; one that names another is refused. Without it they may name every tenant "
    "of the policy, so give it for an issuer that is not yours, or is one tenant's alone."
)


class ApiKeys(Strict):
    """API keys as credentials."""

    header: words.HeaderName = Field(
        default="authorization", description='The header that carries the key; "authorization" means `Bearer <key>`.'
    )
    file: words.FileName | None = Field(
        default=None,
        description="The file of API keys, relative to the policy file. Without it, they are in the Redis of "
        "`--store`, which then has to keep them on disk.",
    )


class ClaimDefaults(Strict):
    """What a token's owner is taken to be where the token does not say."""

    tenant: words.Name | None = Field(default=None, description="The tenant of a token without a tenant claim.")
    tier: words.Name | None = Field(default=None, description="The tier of a token without a tier claim.")
    roles: words.Set[words.Role] = Field(default=[], description="The roles of a token without a roles claim.")


class Claims(Strict):
    """Which claim gives which part of the identity: dotted paths, or lists of keys where a key itself holds a dot."""

    subject: words.ClaimPath = Field(default=("sub",), description="The claim that names the caller.")
    client: words.ClaimPath | None = Field(
        default=None,
        description="The claim that names the client, such as `client_id`, which is the caller where a token has no "
        "`sub`: one that the client got with its own credentials. Without it, such a token is refused.",
    )
    tenant: words.ClaimPath | None = Field(default=None, description="The claim that names the caller's tenant.")
    tier: words.ClaimPath | None = Field(default=None, description="The claim that names the caller's tier.")
    roles: words.ClaimPath | None = Field(default=None, description="The claim that lists the caller's roles.")
    scopes: words.ClaimPath = Field(default=("scope",), description="The claim that lists the token's scopes.")
    defaults: ClaimDefaults = Field(default_factory=ClaimDefaults, description="Used where a token lacks the claim.")


class Issuer(Strict):
    """An OAuth 2.0 / OpenID Connect issuer whose signed access tokens are accepted."""

    name: words.Name = Field(description="What the issuer is called in logs and metrics.")
    issuer: words.Text = Field(description="The exact `iss` of its tokens.")
    audiences: words.Some[words.Text] = Field(description="A token must carry one of these in `aud`.")
    algorithms: words.Some[words.SigningAlgorithm] = Field(
        default=["RS256", "ES256"], description="The signature algorithms accepted from this issuer; asymmetric only."
    )
    jwks_uri: addresses.JwksUri | None = Field(
        default=None,
        description="Where its public keys are fetched; https, or http on loopback. Without it and `jwks_file`, the "
        "issuer is asked: `issuer` must be its URL, where its metadata are (OpenID Connect Discovery, RFC 8414).",
    )
    jwks_file: words.FileName | None = Field(
        default=None, description="A file with its public keys (a JWK set), relative to the policy file."
    )
    leeway: times.Leeway = Field(default=30.0, description="The clock difference that is forgiven, at most 60s.")
    max_lifetime: times.Lifetime = Field(
        default=86_400.0, description="A token whose `exp` lies further ahead than this is refused; 1s to 31d."
    )
    types: words.Some[words.TokenType] = Field(
        default=["", "jwt", "at+jwt"], description='The accepted `typ` headers; "" means that it may be absent.'
    )
    claims: Claims = Field(default_factory=Claims, description="How claims become an identity.")
    tenants: words.Some[words.Name] | None = Field(default=None, description=_TENANTS)
    dpop: Literal["optional", "required"] = Field(default="optional", description=_DPOP)

    @property
    def discover(self) -> bool:
        """Whether the issuer's metadata say where its keys are."""
        return self.jwks_uri is None and self.jwks_file is None

    @model_validator(mode="after")
    def _one_key_source(self) -> Self:
        if self.jwks_uri is not None and self.jwks_file is not None:
            raise ValueError("give jwks_uri or jwks_file, not both")
        if self.discover:
            addresses.discoverable(self.issuer)
        return self


class SharedSecret(Strict):
    """An issuer that signs its tokens with a secret that it shares with tidegate, as Flask-JWT-Extended does.

    Whoever holds the secret can make tokens, so prefer `issuers` where there is a choice.
    """

    name: words.Name = Field(description="What the issuer is called in logs and metrics.")
    issuer: words.Text | None = Field(
        default=None,
        description="The exact `iss` of its tokens. Without it, they must have none; one such issuer only.",
    )
    audiences: words.Set[words.Text] = Field(
        default=[], description="A token must carry one of these in `aud`. Without any, tokens must have no `aud`."
    )
    algorithm: Literal["HS256", "HS384", "HS512"] = Field(
        default="HS256", description="The one signature algorithm; the secret must be as long as its hash."
    )
    secret_file: words.FileName | None = Field(
        default=None, description="The file with the secret, relative to the policy file. Or give `secret_env`."
    )
    secret_env: words.EnvName | None = Field(
        default=None, description="The environment variable with the secret, read when the policy is loaded."
    )
    leeway: times.Leeway = Field(default=30.0, description="The clock difference that is forgiven, at most 60s.")
    max_lifetime: times.Lifetime = Field(
        default=86_400.0, description="A token whose `exp` lies further ahead than this is refused; 1s to 31d."
    )
    claims: Claims = Field(default_factory=Claims, description="How claims become an identity.")
    tenants: words.Some[words.Name] | None = Field(default=None, description=_TENANTS)
    dpop: Literal["optional", "required"] = Field(default="optional", description=_DPOP)

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("give exactly one of secret_file and secret_env")
        return self


class Introspection(Strict):
    """An endpoint that is asked what an opaque token is worth (RFC 7662): a bearer token that is no JWT and no API key.

    Where there are no `issuers` and no `shared_secrets`, it is asked about JWTs, too.
    """

    name: words.Name = Field(description="What the endpoint is called in logs and metrics.")
    url: addresses.JwksUri = Field(description="The introspection endpoint; https, or http on loopback.")
    client_id: words.Text = Field(description="Who tidegate is to the endpoint.")
    client_secret_file: words.FileName | None = Field(
        default=None, description="The file with tidegate's secret, relative to the policy file."
    )
    client_secret_env: words.EnvName | None = Field(
        default=None, description="The environment variable with tidegate's secret. Give this or `client_secret_file`."
    )
    client_auth: Literal["basic", "post"] = Field(
        default="basic", description="How the two are sent: client_secret_basic or client_secret_post (RFC 6749)."
    )
    issuer: words.Text | None = Field(
        default=None, description="The exact `iss` of its answers. Without it, they must have none."
    )
    audiences: words.Set[words.Text] = Field(
        default=[], description="An answer must have one of these in `aud`. Without any, answers must have no `aud`."
    )
    cache: times.CacheTime = Field(
        default=2.0,
        description="How long an answer is used, and so how long a revoked token may still pass; 0s to 5m.",
    )
    leeway: times.Leeway = Field(default=30.0, description="The clock difference that is forgiven, at most 60s.")
    claims: Claims = Field(default_factory=Claims, description="How the members of an answer become an identity.")
    tenants: words.Some[words.Name] | None = Field(default=None, description=_TENANTS)
    dpop: Literal["optional", "required"] = Field(default="optional", description=_DPOP)

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.client_secret_file is None) == (self.client_secret_env is None):
            raise ValueError("give exactly one of client_secret_file and client_secret_env")
        return self


class RoutedIntrospection(Introspection):
    """A further endpoint of the kind, for some opaque tokens.

    A token is shown to one of them and to no other: to that with the longest prefix that it begins with, else to that
    of the endpoint called, else to `introspection`.
    """

    prefixes: words.Set[words.TokenPrefix] = Field(
        default=[], description="It is asked about tokens that begin with one of these."
    )
    endpoints: words.Set[words.Name] = Field(
        default=[], description="It is asked about tokens that come to one of these, and begin with no known prefix."
    )

    @model_validator(mode="after")
    def _for_some(self) -> Self:
        if not self.prefixes and not self.endpoints:
            raise ValueError("give prefixes or endpoints; what takes all other tokens is introspection")
        return self


class Dpop(Strict):
    """What the proofs of possession that come with bound tokens must be like (DPoP, RFC 9449)."""

    algorithms: words.Some[words.SigningAlgorithm] = Field(
        default=list(words.ALGORITHMS), description="The signature algorithms accepted in proofs; asymmetric only."
    )
    window: times.ProofWindow = Field(
        default=60.0, description="How far the `iat` of a proof may lie from now, before or after; 1s to 5m."
    )
    nonce: bool = Field(
        default=False,
        description="Whether proofs must repeat a nonce of ours, so that none can be made ahead; it is given by a 401 "
        "with `DPoP-Nonce` and changes every 5 minutes. Needs the key pepper.",
    )
    scheme: Literal["http", "https"] | None = Field(
        default=None,
        description="What `htu` begins with, where it is not what Envoy sees: where TLS ends before Envoy, `https`.",
    )


class Workload(Strict):
    """A workload that proves itself by its client certificate (mTLS), and who it is."""

    id: addresses.SpiffeIds = Field(
        description="Its SPIFFE ID, exactly, or with a final `/**` every ID below; the longest that matches counts."
    )
    subject: words.Text | None = Field(default=None, description="What it is called; by default its SPIFFE ID.")
    tenant: words.Name = Field(description="The tenant that it belongs to.")
    tier: words.Name = Field(description="The service tier that it calls in.")
    roles: words.Set[words.Role] = Field(default=[], description="Its roles in the tenant.")
    scopes: words.Set[words.Scope] = Field(default=[], description="Its scopes.")
    endpoints: words.Some[words.Name] | None = Field(
        default=None, description="The endpoints that it may call; by default all that its roles are granted."
    )


class IdentityMethods(Strict):
    """How callers prove who they are. A method that is not here is not accepted."""

    api_keys: ApiKeys | None = Field(default=None, description="Accept API keys.")
    issuers: list[Issuer] = Field(default=[], description="Accept the tokens of these issuers.")
    shared_secrets: list[SharedSecret] = Field(
        default=[], description="Accept the tokens of these issuers, which sign with a shared secret."
    )
    introspection: Introspection | None = Field(
        default=None, description="Accept opaque tokens that this endpoint knows."
    )
    introspections: list[RoutedIntrospection] = Field(
        default=[], description="Accept opaque tokens that these endpoints know, each those that are its own."
    )
    dpop: Dpop = Field(default_factory=Dpop, description="What proofs of possession must be like.")
    workloads: list[Workload] = Field(
        default=[], description="Accept the client certificates of these workloads, where no other credential comes."
    )
    xfcc_from: words.Set[addresses.SpiffeId] = Field(
        default=[],
        description="Proxies before Envoy, by SPIFFE ID, that are believed in X-Forwarded-Client-Cert: the workload is "
        "the one that they name.",
    )
