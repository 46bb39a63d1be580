"""Signing on with a real provider's accounts: who comes in, and that everything else is a clear answer without a session."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from console_worlds import token_of
from identity_worlds import ProviderProcess, SignOnWorld, sign_on_world
from starlette.testclient import TestClient

from sixfold.core.errors import SystemFault
from sixfold.service.domain.errors import Unavailable
from sixfold.service.domain.people import Scope
from sixfold.service.domain.records import AuditEntry
from sixfold.service.domain.sign_on import AccountIdentity, SignOnAttempt, SignOnRules
from sixfold.service.identity import oidc
from sixfold.service.identity.oidc import OidcProvider
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import users
from sixfold.service.use_cases.users import UserRequest

SESSION = "sixfold_session"
READ = frozenset({Scope.READ})


def audited(here: SignOnWorld) -> list[AuditEntry]:
    with here.world.service.database.reading() as rows:
        found = rows.records.audited(here.world.operator.tenant_id, PageQuery(100)).rows
    return [one for one in found if one.verb.startswith(("session", "user"))]


def sessions(here: SignOnWorld) -> int:
    with here.world.service.database.reading() as rows:
        keys = rows.keys.page(here.world.operator.tenant_id, PageQuery(100)).rows
    return sum(key.shown == "session" for key in keys)


def refused(answer: Any, status: int, *words: str) -> None:
    """A clear answer, and no cookie."""
    assert answer.status_code == status, answer.text
    for word in words:
        assert word in answer.text, answer.text
    assert SESSION not in answer.headers.get("set-cookie", "")


def test_who_signs_on_has_a_session(here: SignOnWorld) -> None:
    here.provider.know("alice", email="alice@example.com")
    browser = here.browser()
    answer = here.sign(browser)
    assert answer.status_code == 200, answer.text
    assert "url=/console" in answer.text
    cookies = answer.headers.get_list("set-cookie")
    (session,) = (one for one in cookies if one.startswith(SESSION))
    assert "HttpOnly" in session and "SameSite=strict" in session
    assert browser.get("/console").status_code == 200
    assert browser.get("/api/v1/jobs").status_code == 200
    assert browser.get("/console/keys").status_code == 403  # may read, and nothing else
    opened, made = audited(here)
    assert (opened.verb, opened.detail["name"]) == ("session.open", "alice@example.com")
    assert (made.verb, made.subject) == ("user.create", opened.detail["user"])


def test_the_second_time_it_is_the_same_person(here: SignOnWorld) -> None:
    for _ in range(2):
        assert here.sign(here.browser()).status_code == 200
    assert here.sign(here.browser(), "bob").status_code == 200
    found = users.page(here.world.service, here.world.operator, PageQuery()).rows
    assert [one.subject for one in found] == [
        f"{here.provider.url} {name}" for name in ("bob", "alice")
    ]


def test_a_public_client_signs_on_by_pkce_alone(tmp_path: Path, provider: ProviderProcess) -> None:
    with sign_on_world(tmp_path, provider, SignOnRules(scopes=READ), secret=None) as here:
        assert here.sign(here.browser()).status_code == 200


def test_what_the_browser_is_sent_with(here: SignOnWorld) -> None:
    browser = here.browser()
    first, second = (parse_qs(urlsplit(here.to_provider(browser)).query) for _ in range(2))
    assert first["redirect_uri"] == ["http://localhost/login/oidc/callback"]
    assert first["response_type"] == ["code"] and first["code_challenge_method"] == ["S256"]
    assert "openid" in first["scope"][0].split()
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name] and len(first[name][0]) >= 43
    assert len({first[name][0] for name in ("state", "nonce", "code_challenge")}) == 3


TWISTS = {
    "wrong nonce": ({"claims": {"nonce": "another"}}, "nonce"),
    "no nonce": ({"without": ["nonce"]}, "nonce"),
    "expired": ({"claims": {"exp": int(time.time()) - 3600}}, "expired"),
    "no expiry": ({"without": ["exp"]}, "exp"),
    "issued in the future": ({"claims": {"iat": int(time.time()) + 86400}}, "in the future"),
    "another audience": ({"claims": {"aud": "another-client"}}, "aud"),
    "another audience, as its party we": (
        {"claims": {"aud": ["another-client"], "azp": "sixfold-console"}},
        "aud",
    ),
    "two audiences, without a party": (
        {"claims": {"aud": ["sixfold-console", "another-client"]}},
        "azp",
    ),
    "another party": ({"claims": {"azp": "another-client"}}, "azp"),
    "another issuer": ({"claims": {"iss": "https://evil.example"}}, "iss"),
    "unsigned": ({"alg": "none"}, "none"),
    "signed with the public key": ({"alg": "HS256"}, "HS256"),
    "signed with a foreign key": ({"key": "foreign"}, "bad_signature"),
    "a hash of another access token": ({"claims": {"at_hash": "0" * 22}}, "at_hash"),
    "no subject": ({"without": ["sub"]}, "sub"),
    "a subject that is no text": ({"claims": {"sub": 7}}, ""),
    "a subject with a line end": ({"claims": {"sub": "alice\nbob"}}, "subject"),
}


@pytest.mark.slow
def test_a_token_that_is_not_right_opens_nothing(here: SignOnWorld) -> None:
    for name, (twist, word) in TWISTS.items():
        here.provider.twist(**twist)
        browser = here.browser()
        answer = here.sign(browser)
        assert (name, answer.status_code) == (name, 401), answer.text
        refused(answer, 401, "You are not signed in.", word)
        assert browser.get("/console").headers["location"] == "/login"
    assert sessions(here) == 0
    here.provider.twist(claims={})  # twisted by nothing: the same way of making tokens is good
    assert here.sign(here.browser()).status_code == 200
    assert sessions(here) == 1


def test_an_answer_is_used_once(here: SignOnWorld) -> None:
    browser = here.browser()
    page = here.to_provider(browser)
    secret = browser.cookies["sixfold_sign_on"]
    back = here.provider.consent(page)
    assert browser.get(back).status_code == 200
    assert "sixfold_sign_on" not in browser.cookies
    thief = here.browser()
    assert thief.get(back).status_code == 401  # without the cookie
    thief.cookies.set("sixfold_sign_on", secret)
    answer = thief.get(back)  # with it: the provider knows the code no longer
    assert answer.status_code == 401 and "invalid_grant" in answer.text
    code = parse_qs(urlsplit(here.provider.consent(page)).query)["code"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    thief.cookies.set("sixfold_sign_on", secret)
    answer = thief.get(f"/login/oidc/callback?{urlencode({'code': code, 'state': state})}")
    assert (
        answer.status_code == 401 and "not used before" in answer.text
    )  # a fresh code for an old state
    assert SESSION not in thief.cookies


def test_an_answer_to_another_browser_opens_nothing(here: SignOnWorld) -> None:
    victim, attacker = here.browser(), here.browser()
    here.to_provider(victim)
    answer = victim.get(here.back(attacker))
    refused(answer, 401, "the state that this browser began with")


def test_an_answer_that_nobody_asked_for_opens_nothing(here: SignOnWorld) -> None:
    for query in ("", "state=x&code=y", "code=y", "state=%00&code=y", "state=é&code=y", "error=a"):
        refused(here.browser().get(f"/login/oidc/callback?{query}"), 401)
    assert sessions(here) == 0


def test_who_says_no_is_not_signed_in(here: SignOnWorld) -> None:
    browser = here.browser()
    state = parse_qs(urlsplit(here.to_provider(browser)).query)["state"][0]
    sent = urlencode({"state": state, "error": "access_denied<script>"})
    answer = browser.get(f"/login/oidc/callback?{sent}")
    refused(answer, 401, "access_denied")
    assert "<script>alert" not in answer.text and "denied<script>" not in answer.text


def test_new_keys_of_the_provider_are_found(here: SignOnWorld) -> None:
    assert here.sign(here.browser()).status_code == 200
    here.provider.stop()
    here.provider.start()  # at the same address, with keys that nobody has seen
    assert here.sign(here.browser()).status_code == 200


@pytest.mark.slow
def test_new_keys_are_found_by_their_id_or_alone(here: SignOnWorld) -> None:
    for kid, both in itertools.product((True, False), (True, False)):
        here.provider.twist()
        assert here.sign(here.browser()).status_code == 200
        here.provider.twist(kid=kid, both=both)
        good = kid or not both  # of two keys a token must name one: section 10.1
        assert here.sign(here.browser()).status_code == (200 if good else 401)


def test_a_provider_that_is_away_is_said_and_keys_still_open(here: SignOnWorld) -> None:
    browser = here.browser()
    back = here.back(browser)
    here.provider.stop()
    refused(browser.get(back), 503, "You are not signed in.", here.provider.url)
    fresh = OidcProvider(here.provider.url, "sixfold-console")
    here.app.api.state.sign_on = type(here.sign_on)(fresh, here.sign_on.rules)
    answer = here.browser().get("/login/oidc")
    assert answer.status_code == 503 and "sign in with a key" in answer.text
    stranger = here.browser()
    form = {"key": here.world.key, "form_token": token_of(stranger, "/login")}
    assert stranger.post("/login", data=form).status_code == 303


def test_a_provider_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = OidcProvider(f"http://127.0.0.1:{silent.getsockname()[1]}", "sixfold-console")
        with pytest.raises(Unavailable, match="timed out"):
            provider.sign_on_url(SignOnAttempt("x"), "http://localhost/login/oidc/callback")


def test_another_issuer_than_ours_is_no_provider(here: SignOnWorld) -> None:
    other = here.provider.url.replace("127.0.0.1", "localhost")  # the same server, by another name
    here.provider.know("alice")
    provider = OidcProvider(other + "/", "sixfold-console")
    here.app.api.state.sign_on = type(here.sign_on)(provider, here.sign_on.rules)
    answer = here.browser().get("/login/oidc")
    assert answer.status_code == 503 and "--oidc-issuer as the provider writes it" in answer.text


@pytest.mark.parametrize(
    "url", ["http://idp.example", "ftp://x", "idp.example", "", "https://", "http://[x"]
)
def test_an_issuer_that_anybody_could_answer_for_is_refused(url: str) -> None:
    with pytest.raises(SystemFault, match="--oidc-issuer"):
        OidcProvider(url, "c")


def test_unknown_people_are_refused_until_they_are_made_known(
    tmp_path: Path, provider: ProviderProcess
) -> None:
    with sign_on_world(tmp_path, provider, SignOnRules()) as here:
        made = here.world
        answer = here.sign(here.browser())
        refused(
            answer,
            403,
            "a person whom an operator made known",
            "Ask your administrator.",
        )
        (entry,) = audited(here)
        assert (entry.verb, entry.outcome) == ("session.open", "missing_scope")
        assert entry.subject == f"{provider.url} alice"
        identity = AccountIdentity(provider.url, "alice", "Alice")
        users.add(
            made.service, made.operator, UserRequest(identity, frozenset({Scope.KEYS, Scope.READ}))
        )
        browser = here.browser()
        assert here.sign(browser).status_code == 200
        assert browser.get("/console/keys").status_code == 200


def test_a_known_person_comes_into_their_own_tenant(here: SignOnWorld) -> None:
    made, tenant = here.world, here.world.tenant("chemistry")
    identity = AccountIdentity(here.provider.url, "clara", "Clara")
    asked = UserRequest(identity, frozenset({Scope.KEYS, Scope.READ}), "chemistry")
    users.add(made.service, made.operator, asked)
    browser = here.browser()
    assert here.sign(browser, "clara").status_code == 200
    keys = browser.get("/api/v1/keys").json()["data"]
    assert {key["name"] for key in keys} == {"console", "first"}  # of that tenant alone
    assert users.page(made.service, tenant, PageQuery()).rows[0].name == "Clara"


@pytest.mark.slow
def test_a_claim_names_the_tenant(tmp_path: Path, provider: ProviderProcess) -> None:
    rules = SignOnRules("department", READ)
    with sign_on_world(tmp_path, provider, rules) as here:
        tenant = here.world.tenant("chemistry")
        for name, department in (
            ("anna", "chemistry"),
            ("ben", "main"),
            ("cleo", "alchemy"),
            ("dan", 7),
        ):
            provider.know(name, department=department)
        provider.know("eve")
        assert here.sign(here.browser(), "anna").status_code == 200
        assert here.sign(here.browser(), "ben").status_code == 200
        for name in ("cleo", "dan", "eve"):
            answer = here.sign(here.browser(), name)
            assert answer.status_code == 403 and "the claim department" in answer.text
        service = here.world.service
        assert len(users.page(service, here.world.operator, PageQuery()).rows) == 1
        with service.database.reading() as rows:
            (anna,) = rows.users.page(tenant.tenant_id, PageQuery()).rows
        assert anna.subject == f"{provider.url} anna"
        provider.know("anna", department="main")  # moved: she is no longer of that tenant
        answer = here.sign(here.browser(), "anna")
        assert answer.status_code == 403 and "one of another tenant" in answer.text


def test_namesakes_are_two_people(here: SignOnWorld) -> None:
    for subject in ("a1", "a2"):
        here.provider.know(subject, email="alice@example.com")
        assert here.sign(here.browser(), subject).status_code == 200
    found = users.page(here.world.service, here.world.operator, PageQuery()).rows
    assert len({one.name for one in found}) == 2
    assert all(one.name.startswith("alice@example.com") for one in found)


def signed_in(here: SignOnWorld) -> tuple[TestClient, str]:
    """A browser, and its user's id."""
    browser = here.browser()
    assert here.sign(browser).status_code == 200
    (user,) = users.page(here.world.service, here.world.operator, PageQuery()).rows
    return browser, user.id


def test_a_session_follows_what_its_user_may_do(here: SignOnWorld) -> None:
    browser, user_id = signed_in(here)
    made = here.world
    assert browser.get("/console/keys").status_code == 403
    users.set_scopes(made.service, made.operator, user_id, {Scope.KEYS, Scope.READ})
    assert browser.get("/console/keys").status_code == 200
    users.remove(made.service, made.operator, user_id)
    assert browser.get("/console").headers["location"] == "/login"


def test_who_is_disabled_does_not_sign_on(here: SignOnWorld) -> None:
    browser, user_id = signed_in(here)
    made = here.world
    users.disable(made.service, made.operator, user_id)
    assert browser.get("/console").headers["location"] == "/login"
    answer = here.sign(here.browser())
    assert answer.status_code == 403 and "a person who is not disabled" in answer.text
    users.enable(made.service, made.operator, user_id)
    assert here.sign(here.browser()).status_code == 200


def test_a_session_lasts_half_a_day(here: SignOnWorld) -> None:
    browser, _ = signed_in(here)
    here.world.clock.at += 12 * 3600 - 1
    assert browser.get("/console").status_code == 200
    here.world.clock.at += 2
    assert browser.get("/console").headers["location"] == "/login"


def test_signing_out_ends_the_session_and_shows_the_way_out_of_the_account(
    here: SignOnWorld,
) -> None:
    browser, _ = signed_in(here)
    token = browser.cookies[SESSION]
    answer = browser.post("/logout", data={"form_token": token_of(browser, "/console")})
    assert answer.status_code == 200 and f'href="{here.provider.url}/' in answer.text
    browser.cookies.set(SESSION, token)
    assert browser.get("/console").headers["location"] == "/login"
    assert audited(here)[0].verb == "session.close"


def test_without_a_provider_there_is_no_such_way(here: SignOnWorld) -> None:
    assert "/login/oidc" in here.browser().get("/login").text
    here.app.api.state.sign_on = None
    assert "/login/oidc" not in here.browser().get("/login").text
    for path in ("/login/oidc", "/login/oidc/callback?state=x&code=y"):
        assert here.browser().get(path).status_code == 404
