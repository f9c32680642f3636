"""The API keys and revoked tokens that a process knows: from the files of its policy, or followed in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tidegate.admission.open import MEMORY, check_url
from tidegate.clock import Clock
from tidegate.identity import Identifier, KeyStore, KeyUses, RedisKeys, revocation_file
from tidegate.identity.feed import Feed
from tidegate.identity.key_feed import StoredKeys
from tidegate.identity.key_use_file import FileSums
from tidegate.identity.key_uses import Telling
from tidegate.identity.revocation import RevokedTokens
from tidegate.identity.revocation_feed import StoredRevocations
from tidegate.identity.revocation_store import RedisRevocations
from tidegate.policy.compiled import Policy
from tidegate.settings import Settings, naming
from tidegate.startup import keys_are_stored, revocations_are_stored
from tidegate.telemetry import Telemetry


class KnownCredentials:
    """Keeps what an identifier knows. `policy` is the one in force, `uses` what the keys have proved."""

    def __init__(self, settings: Settings, *, clock: Clock, telemetry: Telemetry, policy: Callable[[], Policy]) -> None:
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._policy = policy
        self._identifier: Identifier | None = None
        self.uses = KeyUses()
        sums = FileSums(self._key_file) if settings.store == MEMORY else RedisKeys(settings.store)
        self._telling = Telling(self.uses, sums, clock=clock, on_silence=self._uncounted, on_error=telemetry.error)
        self._keys: Feed[KeyStore] | None = None
        self._revocations: Feed[RevokedTokens] | None = None
        if settings.store != MEMORY:
            with naming("--store"):
                check_url(settings.store)
            self._keys = self._open_keys()
            self._revocations = self._open_revocations()

    def tell(self, identifier: Identifier) -> None:
        """From now on this is who has to know."""
        self._identifier = identifier

    def read(self, policy: Policy) -> Callable[[], None]:
        """Read the files of a policy; the step that puts them in force with it. Raises `PolicyError`."""
        feed, list_feed = self._keys, self._revocations
        stored, listed_in_store = keys_are_stored(policy), revocations_are_stored(policy)
        keys = KeyStore.load(policy.api_keys.file if policy.api_keys else None, pepper=self._settings.pepper)
        listed = revocation_file.listed(policy.revocation.file if policy.revocation else None)

        def adopt() -> None:
            self._adopt_keys(feed.known if stored and feed else keys)
            self._adopt_list(list_feed.known if listed_in_store and list_feed else listed)

        return adopt

    async def start(self) -> None:
        """Ask once, if there is something to ask, and keep asking."""
        if self._keys is not None and self._revocations is not None:
            if keys_are_stored(self._policy()):
                await self._keys.refresh()
            self._keys.start()
            if revocations_are_stored(self._policy()):
                await self._revocations.refresh()
            self._revocations.start()
        self._telling.start()

    async def close(self) -> None:
        """Stop asking, and tell of the last uses."""
        for running in (self._telling, self._keys, self._revocations):
            if running is not None:
                await running.close()

    def _key_file(self) -> Path | None:
        keys = self._policy().api_keys
        return None if keys is None else keys.file

    def _uncounted(self, why: str) -> None:
        self._telemetry.log.warning("uses of API keys are not written down", reason=why)

    def _open_keys(self) -> Feed[KeyStore]:
        def adopt(keys: KeyStore) -> None:
            if keys_are_stored(self._policy()):
                self._adopt_keys(keys)

        return Feed(
            StoredKeys(RedisKeys(self._settings.store), pepper=self._settings.pepper),
            name="API keys",
            clock=self._clock,
            adopt=adopt,
            wanted=lambda: keys_are_stored(self._policy()),
            on_state=self._telemetry.upkeep.keys,
            on_error=self._telemetry.error,
        )

    def _open_revocations(self) -> Feed[RevokedTokens]:
        def adopt(revoked: RevokedTokens) -> None:
            if revocations_are_stored(self._policy()):
                self._adopt_list(revoked)

        return Feed(
            StoredRevocations(RedisRevocations(self._settings.store), clock=self._clock),
            name="revoked tokens",
            clock=self._clock,
            adopt=adopt,
            wanted=lambda: revocations_are_stored(self._policy()),
            on_state=self._telemetry.upkeep.revocations,
            on_error=self._telemetry.error,
        )

    def _adopt_keys(self, keys: KeyStore) -> None:
        if self._identifier is not None:
            self._identifier.keys = keys

    def _adopt_list(self, revoked: RevokedTokens) -> None:
        if self._identifier is not None:
            self._identifier.revoked = revoked
