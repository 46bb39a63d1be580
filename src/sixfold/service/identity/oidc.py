"""A provider of OpenID Connect: found by its issuer, asked with a code and PKCE, its ID tokens verified. The extra `oidc`.

Nothing is asked of it before somebody signs on, so the service starts while it is away. What it says of itself and its keys are
kept for an hour; a key that is not among them is looked for anew, once a token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from sixfold.core.errors import SystemFault
from sixfold.service.domain.errors import Unavailable
from sixfold.service.domain.sign_on import MOST_SUBJECT, AccountIdentity, SignOnAttempt, refused

DISCOVERY: Final = "/.well-known/openid-configuration"
SCOPE: Final = "openid profile email"
BASIC: Final = "client_secret_basic"
# Signed with a key that only the provider has: neither `none` nor one that the client's secret is good for.
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
)
LEEWAY_S: Final = 60  # between two clocks
KEPT_S: Final = 3600.0
TIMEOUT_S: Final = 10.0
MOST_NAME: Final = 128
NAMES: Final = ("email", "preferred_username", "name")
_SUBJECT: Final = re.compile(f"[ -~]{{1,{MOST_SUBJECT}}}")


@dataclass
class OidcProvider:
    """`issuer`: its address, as its tokens have it. `secret`: None for a public client, which PKCE alone protects."""

    issuer: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    _metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _keys: KeySet | None = field(default=None, repr=False)
    _kept_until: float = field(default=float("-inf"), repr=False)

    def __post_init__(self) -> None:
        """Raises SystemFault for an address that anybody on the way could answer for."""
        if not _is_safe(self.issuer):
            remedy = "Name the issuer as its tokens do."
            raise SystemFault(
                "--oidc-issuer", "https://…, or http on loopback", self.issuer[:200], remedy
            )

    def sign_on_url(self, attempt: SignOnAttempt, back: str) -> str:
        """See `ports.sign_on`."""
        url = prepare_grant_uri(
            self._endpoint("authorization_endpoint"),
            self.client_id,
            "code",
            redirect_uri=back,
            scope=SCOPE,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return str(url)

    def identity(self, attempt: SignOnAttempt, code: str, back: str) -> AccountIdentity:
        """See `ports.sign_on`."""
        token = self._token(attempt, code, back)
        encoded = token.get("id_token")
        if not isinstance(encoded, str):
            raise refused("an ID token", "an answer without one")
        claims = self._verified(encoded, attempt, token)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise refused(f"a subject of 1 to {MOST_SUBJECT} ASCII characters", "another one")
        return AccountIdentity(self.issuer, subject, _name(claims, subject), claims)

    def sign_out_url(self) -> str | None:
        """See `ports.sign_on`."""
        try:
            endpoint = self._known().get("end_session_endpoint")
        except Unavailable:
            return None
        return endpoint if isinstance(endpoint, str) and _is_safe(endpoint) else None

    def _token(self, attempt: SignOnAttempt, code: str, back: str) -> Mapping[str, Any]:
        endpoint, auth = self._endpoint("token_endpoint"), None
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        sent["code_verifier"] = attempt.verifier
        if self.secret is not None and self._takes_basic():  # RFC 6749, section 2.3.1
            auth = (quote_plus(self.client_id), quote_plus(self.secret))
        else:
            sent["client_id"] = self.client_id
            sent |= {} if self.secret is None else {"client_secret": self.secret}
        try:
            answer = httpx.post(endpoint, data=sent, auth=auth, timeout=TIMEOUT_S)
            found = _object(answer)
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from error
        if answer.is_error:
            raise refused("a code that the provider knows", repr(found.get("error"))[:80])
        return found

    def _verified(
        self, encoded: str, attempt: SignOnAttempt, token: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Signature, issuer, audience, times, nonce. Raises Unauthenticated."""
        try:
            found = self._decoded(encoded)
            told = {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self.client_id},
            }
            asked = {"nonce": attempt.nonce, "client_id": self.client_id}
            asked |= {name: token[name] for name in ("access_token",) if name in token}
            claims = CodeIDToken(found.claims, found.header, told, asked)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise refused("an ID token of this provider, for this sign-on", why) from None
        return dict(claims)

    def _decoded(self, encoded: str) -> jwt.Token:
        algorithms = list(ALGORITHMS)
        try:
            return jwt.decode(encoded, self._key_set(), algorithms=algorithms)
        except (InvalidKeyIdError, BadSignatureError):  # signed with a key that is newer than ours
            return jwt.decode(encoded, self._key_set(anew=True), algorithms=algorithms)

    def _key_set(self, anew: bool = False) -> KeySet:
        if self._keys is None or anew:
            found = self._get(self._endpoint("jwks_uri"))
            try:
                self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise self._away(error) from error
        return self._keys

    def _endpoint(self, name: str) -> str:
        found = self._known().get(name)
        if not isinstance(found, str) or not _is_safe(found):
            raise Unavailable(
                "the sign-on",
                f"a safe {name} at {self.issuer}",
                repr(found)[:80],
                "Ask its operator.",
            )
        return found

    def _known(self) -> Mapping[str, Any]:
        """What the provider says of itself."""
        if time.monotonic() > self._kept_until:
            found = self._get(self.issuer.rstrip("/") + DISCOVERY)
            if found.get("issuer") != self.issuer:
                shown = repr(found.get("issuer"))[:200]
                remedy = "Start the server with --oidc-issuer as the provider writes it."
                raise Unavailable("the sign-on", f"the issuer {self.issuer}", shown, remedy)
            self._metadata, self._keys = found, None
            self._kept_until = time.monotonic() + KEPT_S
        return self._metadata

    def _get(self, url: str) -> Mapping[str, Any]:
        try:
            return _object(httpx.get(url, timeout=TIMEOUT_S).raise_for_status())
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from error

    def _takes_basic(self) -> bool:
        return BASIC in self._known().get("token_endpoint_auth_methods_supported", [BASIC])

    def _away(self, error: Exception) -> Unavailable:
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        return Unavailable(
            "the sign-on", f"an answer of {self.issuer}", why, "Try again, or sign in with a key."
        )


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    """Raises httpx.HTTPError for a mistake of the provider's own, ValueError where it is no JSON object."""
    if answer.is_server_error:
        answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError(f"no JSON object from {answer.url.host}")
    return found


def _is_safe(url: str) -> bool:
    """Nobody on the way reads or changes what it says."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _name(claims: Mapping[str, Any], subject: str) -> str:
    """By which the person is shown."""
    for claim in NAMES:
        text = claims.get(claim)
        shown = "".join(filter(str.isprintable, text))[:MOST_NAME] if isinstance(text, str) else ""
        if shown.strip():
            return shown.strip()
    return subject
