"""Signing in to the console: a key opens a session, which ends with the key, and after half a day. So does an account of
elsewhere (`sign_on`), whose session ends with its user.

A session is a row among the keys: its hash alone is stored, its owner sees and revokes it. Its token is no key
(`people.authenticate` refuses it), so it opens nothing but what takes a browser's cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import replace
from typing import Final

from sixfold.service.domain.errors import Forbidden, Unauthenticated
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.keys import ApiKey, digest_of
from sixfold.service.domain.people import Principal, Scope, User
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import audit, people
from sixfold.service.use_cases.service import Service

LASTS_S: Final = 12 * 3600.0
SHOWN: Final = "session"  # where a key has its first characters: nothing of a token is shown
NAME: Final = "console"


def sign_in(service: Service, key: str) -> str:
    """The token of a new session, with the scopes of the key. Raises Unauthenticated."""
    who = people.authenticate(service, key)
    token, now = secrets.token_urlsafe(32), service.now()
    with service.database.transaction() as rows:
        parent = rows.keys.get(who.tenant_id, who.key_id)
        ends = now + LASTS_S
        if parent is not None and parent.expires_at is not None:
            ends = min(ends, parent.expires_at)
        made = ApiKey(
            new_id("key"),
            who.tenant_id,
            NAME,
            digest_of(token),
            SHOWN,
            who.scopes,
            now,
            who.user_id,
            ends,
            rotated_from=who.key_id,
        )
        rows.keys.add(made)
        audit.record(service, rows, who, "session.open", made.id)
    return token


def of_user(service: Service, rows: Transaction, user: User) -> str:
    """The token of a new session of a person who signed on. Within the caller's transaction."""
    token, now = secrets.token_urlsafe(32), service.now()
    made = ApiKey(
        new_id("key"),
        user.tenant_id,
        NAME,
        digest_of(token),
        SHOWN,
        user.scopes,
        now,
        user.id,
        now + LASTS_S,
    )
    rows.keys.add(made)
    who = Principal(user.tenant_id, made.id, user.scopes, user.id)
    audit.record(service, rows, who, "session.open", made.id, user=user.id, name=user.name)
    return token


def of_token(service: Service, token: str) -> Principal:
    """Whose session it is. Raises Unauthenticated: it ended, or the key did that it was opened with, or its user is disabled or
    gone.
    """
    digest, now = digest_of(token), service.now()
    scopes = None
    with service.database.reading() as rows:
        row = rows.keys.of_hash(digest)
        if row is not None and row.shown == SHOWN and row.matches(digest) and row.valid(now):
            scopes = _scopes(rows, row, now)
    if row is not None and scopes is not None:
        people.mark_used(service, row)
        return Principal(row.tenant_id, row.id, scopes, row.user_id)
    raise Unauthenticated("the session", "one that is open", "none", "Sign in at /login.")


def sign_out(service: Service, token: str) -> bool:
    """At once; nothing where there is no such session. Whether it was one of a sign-on."""
    with service.database.transaction() as rows:
        row = rows.keys.of_hash(digest_of(token))
        if row is None or row.shown != SHOWN:
            return False
        if row.revoked_at is None:
            rows.keys.save(replace(row, revoked_at=service.now()))
            who = Principal(row.tenant_id, row.id, row.scopes, row.user_id)
            audit.record(service, rows, who, "session.close", row.id)
        return row.rotated_from is None


def _scopes(rows: Transaction, row: ApiKey, now: float) -> frozenset[Scope] | None:
    """Of a session: its key's, or what its user may do by now. None: it ended with them."""
    if row.rotated_from is not None:
        parent = rows.keys.get(row.tenant_id, row.rotated_from)
        return people.granted(rows, row) if parent is not None and parent.valid(now) else None
    user = rows.users.get(row.tenant_id, row.user_id or "")
    return None if user is None or user.disabled_at is not None else user.scopes


def form_token(secret: str) -> str:
    """What every form of a browser carries, made from its cookie: another site can send the cookie, and cannot read it."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def must_match(secret: str, sent: str) -> None:
    """Raises Forbidden for a form that another site made, or that is older than the session."""
    if not hmac.compare_digest(form_token(secret).encode(), sent.encode()):
        raise Forbidden(
            "the form",
            "the token of this session",
            "another one",
            "Load the page again, and send it.",
        )
