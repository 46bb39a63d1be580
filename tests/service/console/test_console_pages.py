"""The console without a browser: who comes in, what is refused, and that nothing of others is markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from console_worlds import Site, addresses, deployed, filled, page_routes, token_of

from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.schema import Recipe
from sixfold.service.console import file_preview, recipe_form
from sixfold.service.console.console import router
from sixfold.service.console.words import LANGUAGES, catalog, recipe_help
from sixfold.service.domain.deployments import Canary, DeploymentState, Scaling
from sixfold.service.domain.jobs import JobState
from sixfold.service.domain.people import IN_ADMIN, ROLES, Scope
from sixfold.service.domain.records import Usage
from sixfold.service.domain.registry import VersionState
from sixfold.service.domain.sign_on import AccountIdentity
from sixfold.service.use_cases import deployments, files, jobs, people, usage, users
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.jobs import JobRequest
from sixfold.service.use_cases.people import KeyRequest
from sixfold.service.use_cases.users import UserRequest

PAGES = (
    "/console",
    "/console/jobs",
    "/console/jobs?state=failed",
    "/console/jobs/new",
    "/console/models",
    "/console/deployments",
    "/console/keys",
    "/console/people",
    "/console/system",
    "/console/audit",
)
EVIL = "<script>alert(1)</script>"


class Elements(HTMLParser):
    """Tags with their attributes, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_without_a_session_there_is_the_page_to_sign_in_alone(here: Site) -> None:
    stranger = here.stranger()
    for path in ("/", *PAGES, "/console/nothing"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    token = token_of(stranger, "/login")
    refused = stranger.post("/console/jobs", data={"form_token": token, "recipe": "x"})
    assert (refused.status_code, refused.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("key", ["", "sf_", "nonsense", "sf_" + "0" * 49])
def test_a_key_that_opens_nothing_is_refused(here: Site, key: str) -> None:
    stranger = here.stranger()
    answer = stranger.post("/login", data={"key": key, "form_token": token_of(stranger, "/login")})
    assert answer.status_code == 401
    assert "misspelt, revoked or expired" in answer.text
    assert "sixfold_session" not in stranger.cookies


def test_the_cookie_is_for_this_server_and_no_script(here: Site) -> None:
    stranger = here.stranger()
    sent = {"key": here.world.key, "form_token": token_of(stranger, "/login")}
    cookie = stranger.post("/login", data=sent).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    safe = here.stranger()
    safe.base_url = safe.base_url.copy_with(scheme="https")
    sent["form_token"] = token_of(safe, "/login")
    assert "Secure" in safe.post("/login", data=sent).headers["set-cookie"]
    assert here.world.key not in cookie


def test_the_session_is_no_key(here: Site) -> None:
    token = here.client.cookies["sixfold_session"]
    answer = here.stranger().get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_a_session_ends_when_it_is_signed_out_of(here: Site) -> None:
    token = here.client.cookies["sixfold_session"]
    assert here.post("/logout").headers["location"] == "/login"
    here.client.cookies.set("sixfold_session", token)
    assert here.client.get("/console").headers["location"] == "/login"


def test_a_session_ends_with_its_key_and_after_half_a_day(here: Site) -> None:
    made = here.world
    row, key = people.create_key(
        made.service, made.operator, KeyRequest("visitor", frozenset({Scope.READ}))
    )
    visitor = here.sign_in(key)
    assert visitor.get("/console").status_code == 200
    people.revoke_key(made.service, made.operator, row.id)
    assert visitor.get("/console").headers["location"] == "/login"
    made.clock.at += 12 * 3600 - 1
    assert here.client.get("/console").status_code == 200
    made.clock.at += 2
    assert here.client.get("/console").headers["location"] == "/login"


def forms() -> list[str]:
    """The path of every form that the console has, with names filled in."""
    paths = [
        re.sub(r"{\w+(:\w+)?}", "x", route.path)
        for each in router.routes
        for route in getattr(getattr(each, "original_router", None), "routes", [each])
        if "POST" in getattr(route, "methods", ())
    ]
    assert len(paths) > 12
    return paths


def test_every_form_needs_its_token(here: Site) -> None:
    other = token_of(here.sign_in(here.world.key), "/console")
    for path in forms():
        for sent in ({}, {"form_token": "0" * 64}, {"form_token": other}):
            answer = here.client.post(path, data=sent)
            assert (path, answer.status_code) == (path, 403)
    assert here.client.get("/console").status_code == 200  # not signed out by any of them


def test_the_api_takes_the_session_for_reading_alone(here: Site) -> None:
    assert here.client.get("/api/v1/jobs").status_code == 200
    job = here.world.submit()
    assert here.client.post(f"/api/v1/jobs/{job.id}/cancel").status_code == 403
    headers = {"X-CSRF-Token": token_of(here.client, "/console")}
    assert here.client.post(f"/api/v1/jobs/{job.id}/cancel", headers=headers).status_code == 200
    assert here.client.post("/models/none/predict").status_code == 403
    assert here.client.get("/models/none/").status_code == 403  # no page of a replica
    assert here.client.post("/models/none/predict", headers=headers).status_code == 404


def test_the_apis_document_is_a_page_that_is_open_to_all(here: Site) -> None:
    text = here.stranger().get("/docs").text
    document = here.stranger().get("/openapi.json").json()
    assert "/api/v1/jobs/{job_id}/cancel" in text and len(document["paths"]) > 20
    assert all(path in text for path in document["paths"])
    assert not [path for path in document["paths"] if path.startswith(("/console", "/login"))]
    assert set(re.findall(r"""(?:src|href)="(https?:[^"]+)""", text)) == set()


def test_another_site_is_refused_at_the_door(here: Site) -> None:
    headers = {"Origin": "http://evil.example"}
    sent = {"form_token": token_of(here.client, "/console")}
    assert here.client.post("/logout", data=sent, headers=headers).status_code == 403


def test_every_page_has_the_policy_and_nothing_inline(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    paths = [*PAGES, "/console/models/iris", "/console/nothing", "/login", "/docs"]
    paths += [f"/console/jobs/{job.id}" for job in here.jobs.values()]
    for path in paths:
        answer = here.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        for tag, attributes in Elements(answer.text).found:
            assert tag != "style" and not {"style", "nonce"} & set(attributes)
            assert not [name for name in attributes if name.startswith("on")]
            if tag == "script":
                assert str(attributes["src"]).startswith("/console/static/")


def test_files_of_pages_are_kept_for_good(here: Site) -> None:
    text = here.client.get("/console").text
    found = set(re.findall(r"/console/static/[0-9a-f]{16}/[a-z.]+", text))
    assert len(found) == 4
    for path in found:
        answer = here.stranger().get(path)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert here.stranger().get("/console/static/0000000000000000/console.js").status_code == 404


def test_texts_of_others_are_no_markup(here: Site) -> None:
    made = here.world
    recipe = f"version: 1\nname: evil\ndata: {{source: 'x.csv', target: '{EVIL}'}}\n"
    file = files.upload(
        made.service, made.operator, f"{EVIL.replace('/', '')}.csv", _bytes("a\n1\n"), "data"
    )
    asked = JobRequest(recipe, {file.filename: file.id})
    job = jobs.submit(made.service, made.operator, asked)
    with made.service.database.transaction() as rows:
        jobs.tell(made.service, rows, job, EVIL)
    people.create_key(made.service, made.operator, KeyRequest(EVIL, frozenset({Scope.READ})))
    for path in (f"/console/jobs/{job.id}", f"/console/jobs/new?like={job.id}", "/console/keys"):
        text = here.client.get(path).text
        assert "alert(1)" in text
        assert [
            each for each in Elements(text).found if each[0] == "script" and "src" not in each[1]
        ] == []


def test_an_uploads_cells_and_name_are_no_markup(here: Site) -> None:
    token = token_of(here.client, "/console")
    content = f"{EVIL},b\n<img src=x onerror=alert(2)>,2\n".encode()
    answer = here.client.post(
        "/console/files", data={"form_token": token}, files={"file": ("<b>.csv", content)}
    )
    assert answer.status_code == 200
    tags = {tag for tag, _ in Elements(answer.text).found}
    assert not tags & {"script", "img", "b-csv"} and "alert(2)" in answer.text


def test_what_a_recipe_says_wrong_is_told_with_its_line_and_escaped(here: Site) -> None:
    recipe = f"version: 1\ndata: {{source: a.csv, target: b}}\ntrain: {{epoch: 3}}\n'{EVIL}': 1\n"
    answer = here.post("/console/recipe", recipe=recipe)
    assert 'data-line="3"' in answer.text and "Did you mean &#39;epochs&#39;?" in answer.text
    assert {tag for tag, _ in Elements(answer.text).found} <= {
        "div",
        "p",
        "b",
        "ol",
        "li",
        "button",
    }


def test_a_field_of_the_form_changes_the_text(here: Site) -> None:
    text = "version: 1\ndata:\n  source: a.csv\n  target: b\n"
    answer = here.post("/console/recipe/field?path=train.epochs", recipe=text, value="7")
    found = next(
        attributes for _, attributes in Elements(answer.text).found if "data-text" in attributes
    )
    assert found["data-text"] == text + "train:\n  epochs: 7\n"
    assert json.loads(str(found["data-values"]))["train.epochs"] == "7"
    again = here.post(
        "/console/recipe/field?path=train.epochs", recipe=found["data-text"], value=""
    )
    assert f'data-text="{text}"' in again.text


def test_every_field_that_is_set_is_read_back(here: Site) -> None:
    """Whatever kind a field is of: what the form writes is what the form shows, and choices are good recipes' words."""
    for section in recipe_form.sections():
        for field in section.fields:
            for value in field.choices[:3] or ("7",):
                text = recipe_form.changed("version: 1\n", field.path, value)
                assert recipe_form.values(text)[field.path] == value
                assert recipe_form.changed(text, field.path, "") == "version: 1\n"


def test_a_job_is_submitted_once_and_run_as_the_api_runs_it(here: Site) -> None:
    text = here.client.get("/console/jobs/new").text
    nonce = re.search(r'name="nonce" value="([0-9a-f]+)"', text)
    assert nonce is not None
    recipe = "version: 1\r\nname: iris\r\ndata: {source: 'sklearn:iris', target: target}\r\n"
    sent = {"recipe": recipe, "nonce": nonce[1], "publish": "flowers"}
    first, second = (here.post("/console/jobs", **sent).headers["location"] for _ in range(2))
    assert first == second
    job = jobs.get(here.world.service, here.world.operator, first.rpartition("/")[2])
    assert (job.name, job.spec.publish) == ("iris", "flowers") and "\r" not in job.spec.recipe
    assert here.post(f"{first}/pause").headers["location"] == first
    assert "paused" in here.client.get(first).text
    here.post(f"{first}/resume")
    here.post(f"{first}/cancel")
    assert jobs.get(here.world.service, here.world.operator, job.id).state == "cancelled"
    assert here.post(f"{first}/pause").status_code == 409
    assert here.post(f"{first}/explode").status_code == 400


def test_versions_are_promoted_rolled_back_and_retired(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    for number in ("1", "2"):
        here.post("/console/models/iris/promote", alias="production", version=number)
    here.post("/console/models/iris/roll-back", alias="production")
    text = here.client.get("/console/models/iris").text
    assert "production" in text and "0.0186 ms" in text and "0.95" in text
    text = here.client.get("/console/models/iris/1").text
    assert "production" in text and "21.0 KiB" in text and "/console/jobs/" in text
    assert here.post("/console/models/iris/retire", version="1").status_code == 409
    assert here.post("/console/models/iris/retire", version="2").status_code == 303
    report = here.client.get("/console/models/iris/2/report")
    assert "sandbox" in report.headers["content-security-policy"]
    assert "The report" in report.text


def test_a_deployment_keeps_what_its_form_has_no_field_for(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    made, page = here.world, "/console/deployments"
    rules = Canary("", 0.5, most_slower=3.0)
    scaling = Scaling(0, 2, 60.0, target_queue=9, most_together=32)
    canary = VersionName("iris", "2"), rules
    asked = DeploymentRequest(VersionName("iris", "1"), scaling, canary, log_share=0.25)
    deployed(made, "iris", asked)
    sent = {"model": "iris", "version": "1", "name": "iris", "least": "0", "most": "3"}
    sent |= {"sleep_after_s": "60", "canary": "2", "canary_share": "20"}
    sent |= {"most_together": "64", "log_share": "12.5"}
    assert here.post(page, **sent).status_code == 303
    found = deployments.get(made.service, made.operator, "iris")
    assert found.scaling == Scaling(0, 3, 60.0, target_queue=9, most_together=64)
    assert found.canary is not None and found.log_share == 0.125
    assert (found.canary.share, found.canary.most_slower) == (0.2, 3.0)
    for wrong in ({"least": "1e300"}, {"canary_share": "101"}, {"log_share": "-1"}):
        assert here.post(page, **{**sent, **wrong}).status_code == 400
    assert deployments.get(made.service, made.operator, "iris") == found


def test_what_keys_used_and_who_changed_what(here: Site) -> None:
    who, hour = here.world.operator, int(here.world.clock.at) // 3600 * 3600
    assert "last 30 days" not in here.client.get("/console/keys").text
    usage.add(here.world.service, [Usage(who.tenant_id, who.key_id, hour, 12_345)])
    text = here.client.get("/console/keys").text
    assert "last 30 days" in text and "12,345" in text
    for at in range(26):
        here.world.submit(name=f"job-{at}")
    first = here.client.get("/console/audit").text
    older = re.search(r'href="(/console/audit\?after=[^"]+)"', first)
    assert older is not None and first.count("job.submit") == 25 and "name: job-25" in first
    assert "name: job-0" in here.client.get(older[1]).text
    request = KeyRequest("k", ROLES["developer"])
    _, key = people.create_key(here.world.service, who, request)
    assert here.sign_in(key).get("/console/audit").status_code == 403


def test_what_is_no_report_is_not_shown(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    job = here.world.claim()
    assert job is not None
    import console_worlds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console_worlds, "REPORT", "<script>alert(1)</script>")
        console_worlds.published(here.world, tmp_path / "evil", here.jobs["running"])
    answer = here.client.get("/console/models/iris/3/report")
    assert answer.status_code == 400 and "alert(1)" not in answer.text


def test_things_of_another_tenant_are_not_there(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    _, key = people.create_tenant(here.world.service, here.world.operator, "other", _quota())
    other = here.sign_in(key)
    job = here.jobs["running"].id
    for path in (
        f"/console/jobs/{job}",
        f"/console/jobs/{job}/state",
        f"/console/jobs/{job}/log?before=9",
        f"/console/jobs/new?like={job}",
        "/console/models/iris",
        "/console/models/iris/1/report",
        f"/api/v1/jobs/{job}/stream",
    ):
        assert (path, other.get(path).status_code) == (path, 404)
    token = token_of(other, "/console")
    assert other.post(f"/console/jobs/{job}/cancel", data={"form_token": token}).status_code == 404
    for path in PAGES[:-1]:
        assert job not in other.get(path).text
    assert other.get("/console/system").status_code == 403


def test_a_key_is_made_shown_once_and_revoked(here: Site) -> None:
    made = here.post("/console/keys", name="ci", scopes=["read", "jobs"], days="30")
    key = re.search(r'id="new-key">(sf_\w+)<', made.text)
    assert key is not None and key[1] not in here.client.get("/console/keys").text
    who = people.authenticate(here.world.service, key[1])
    assert who.scopes == {Scope.READ, Scope.JOBS}
    here.post(f"/console/keys/{who.key_id}/revoke")
    assert (
        here.stranger()
        .get("/api/v1/jobs", headers={"Authorization": f"Bearer {key[1]}"})
        .status_code
        == 401
    )
    assert here.post("/console/keys", name="x", scopes="everything").status_code == 400
    assert here.post("/console/keys", name="x", scopes="read", days="-1").status_code == 400


def test_people_are_added_and_changed_and_removed(here: Site) -> None:
    account = {"name": f" {EVIL} ", "issuer": "https://idp.example", "subject": "7f0c"}
    assert here.post("/console/people", **account, role="viewer").status_code == 303
    (one,) = users.page(here.world.service, here.world.operator, _page()).rows
    assert (one.name, one.scopes) == (EVIL, {Scope.READ})
    text = here.client.get("/console/people").text
    assert "https://idp.example" in text and EVIL not in text
    assert '<option value="viewer" selected>' in text
    place = f"/console/people/{one.id}"
    for verb, sent, shown in (
        ("role", {"role": "developer"}, '<option value="developer" selected>'),
        ("disable", {}, f"{place}/enable"),
        ("enable", {}, f"{place}/disable"),
    ):
        assert here.post(f"{place}/{verb}", **sent).status_code == 303
        assert shown in here.client.get("/console/people").text
    for verb, sent, status in (
        ("role", {"role": "king"}, 400),
        ("role", {}, 400),
        ("promote", {}, 400),
        ("remove", {}, 303),
        ("remove", {}, 404),
    ):
        assert (verb, here.post(f"{place}/{verb}", **sent).status_code) == (verb, status)
    assert one.id not in here.client.get("/console/people").text
    for wrong in ({"issuer": "idp"}, {"subject": ""}, {"name": "a\nb"}, {"role": ""}):
        sent = {**account, "role": "viewer", **wrong}
        assert (wrong, here.post("/console/people", **sent).status_code) == (wrong, 400)


def test_only_those_see_people_who_may(here: Site) -> None:
    """The page of an administrator offers no role that is not theirs, and changes nobody who may do more."""
    made = here.world
    _, key = people.create_key(made.service, made.operator, KeyRequest("k", IN_ADMIN))
    identity = AccountIdentity("https://idp.example", "x", "Xenia")
    asked = UserRequest(identity, frozenset({Scope.ADMIN, Scope.OPERATE}))
    xenia = users.add(made.service, made.operator, asked)
    administrator = here.sign_in(key)
    text = administrator.get("/console/people").text
    assert "Xenia" in text and xenia.id not in text and 'name="issuer"' not in text
    sent = {"form_token": token_of(administrator, "/console/people")}
    for verb in ("disable", "remove"):
        answer = administrator.post(f"/console/people/{xenia.id}/{verb}", data=sent)
        assert answer.status_code == 403
    _, key = people.create_key(made.service, made.operator, KeyRequest("k", ROLES["developer"]))
    developer = here.sign_in(key)
    assert developer.get("/console/people").status_code == 403
    assert "/console/people" not in developer.get("/console").text


def test_limits_of_a_tenant_are_set(here: Site) -> None:
    here.post("/console/tenants", name="lab", jobs_running="2")
    lab = next(
        one
        for one in people.tenants(here.world.service, here.world.operator, _page()).rows
        if one.name == "lab"
    )
    assert lab.quota.jobs_running == 2 and lab.quota.jobs_waiting is None
    here.post(f"/console/tenants/{lab.id}/quota", storage_bytes="1000")
    text = here.client.get("/console/keys").text
    assert (
        f'id="q-{lab.id}-storage_bytes" name="storage_bytes" inputmode="numeric" pattern="[0-9]*" value="1000"'
        in text
    )
    assert here.post(f"/console/tenants/{lab.id}/quota", storage_bytes="1e3").status_code == 400


def test_lists_go_on_a_page_at_a_time(here: Site) -> None:
    for _ in range(30):
        here.world.submit()
    first = here.client.get("/console/jobs").text
    older = re.search(r'href="(/console/jobs\?after=[^"]+)"', first)
    assert older is not None
    ids = [
        set(re.findall(r"/console/jobs/(job-\w+)", text))
        for text in (first, here.client.get(older[1]).text)
    ]
    assert (len(ids[0]), len(ids[1]), ids[0] & ids[1]) == (25, 5, set())


def test_all_languages_have_the_same_words_with_the_same_facts() -> None:
    facts = {
        name: {key: sorted(re.findall(r"{\w+}", text)) for key, text in catalog(name).items()}
        for name in LANGUAGES
    }
    assert facts["en"] == facts["zh"]
    assert all(text.strip() for name in LANGUAGES for text in catalog(name).values())


def sources() -> str:
    """Of all that speaks."""
    folder = Path(recipe_form.__file__).parent
    return "".join(path.read_text() for path in [*folder.glob("templates/*"), *folder.glob("*.py")])


def test_every_word_of_the_catalog_is_used_and_every_used_one_is_there() -> None:
    text = sources()
    called = set(re.findall(r"""\b(?:t|words)\("([a-z_]+\.[a-z_0-9]+)"[,)]""", text))
    families = set(re.findall(r"""\bt\("([a-z_]+)\." ~""", text))
    families |= set(re.findall(r"""t\.of\("([a-z_]+)\"""", text))
    assert called <= set(catalog("en"))
    spoken = families | {"state"}  # state_badge
    rest = {key for key in catalog("en") if key.partition(".")[0] not in spoken}
    assert {key for key in rest if f'"{key}"' not in text} == set()


@pytest.mark.parametrize("kind", ["state", "failure", "kind", "task", "verdict", "stage"])
def test_words_of_a_kind_are_those_that_the_service_knows(kind: str) -> None:
    known: dict[str, set[str]] = {
        "state": {*JobState, *DeploymentState, *VersionState},
        "failure": {"crashed", "refused", "budget", "lost"},
        "kind": {*PLAIN_KINDS, "identifier", "text", "image", "audio", "empty", "nested"},
        "task": set(get_args(Recipe.model_fields["task"].annotation.__args__[0])),
        "verdict": set(get_args(Receipt.model_fields["verdict"].annotation)),
        "stage": {"done", "kept", "running"},
    }
    words = {key.partition(".")[2] for key in catalog("en") if key.startswith(f"{kind}.")}
    assert words == {str(one) for one in known[kind]}


SAID_ALIKE = {"Sixfold", "PSI", "openapi.json", "production", "candidate", "/models//predict"}
CODE = re.compile(r"{% set \w+ %}.*?{% endset %}|<pre.*?</pre>|{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
SPOKEN = ("aria-label", "placeholder", "title", "alt")  # attributes that people read or hear


class Texts(HTMLParser):
    """What people read of a template, once everything that Jinja puts in is gone."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(CODE.sub("", text))

    def handle_data(self, data: str) -> None:
        self.found += data.split("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in SPOKEN]


def untranslated(text: str) -> list[str]:
    """Words that stand in a template itself."""
    words = [one.strip() for one in Texts(text).found]
    bare = [re.sub("|".join(map(re.escape, SAID_ALIKE)), "", one) for one in words]
    return [one for one, rest in zip(words, bare, strict=True) if re.search("[A-Za-z]{3}", rest)]


def test_no_template_speaks_a_language_of_its_own() -> None:
    assert untranslated('<p title="Look here">{{ t("a.b") }} Good morning</p>') == [
        "Look here",
        "Good morning",
    ]  # the test would see it
    found = {
        path.name: wrong
        for path in Path(recipe_form.__file__).parent.glob("templates/*")
        if (wrong := untranslated(path.read_text()))
    }
    assert found == {}


def test_scripts_speak_no_language_of_their_own() -> None:
    """Their texts come with the page; what is said of a refusal comes from the server."""
    script = (Path(recipe_form.__file__).parent / "static" / "console.js").read_text()
    texts = re.findall(r"""["'`]([A-Z][a-z]+ [a-z]+[^"'`]*)["'`]""", script)
    assert texts == []


def test_every_field_of_a_recipe_is_explained_in_chinese() -> None:
    fields = [field for section in recipe_form.sections() for field in section.fields]
    assert set(recipe_help("zh")) == {field.path for field in fields if field.help}
    assert all(re.search("[\u4e00-\u9fff]", text) for text in recipe_help("zh").values())


def test_every_page_answers_in_both_languages(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    for language in LANGUAGES:
        for path in addresses(here):
            if "tiny" in path:
                continue  # has a server in the browser's tests
            answer = here.client.get(path, headers={"Accept-Language": language})
            assert (path, answer.status_code) == (path, 404 if "nothing" in path else 200)
            assert f'<html lang="{language}">' in answer.text
    assert len(page_routes()) > 12


def test_the_language_is_the_browsers_or_what_was_chosen(here: Site) -> None:
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
    assert 'lang="zh"' in here.client.get("/console", headers=chinese).text
    assert 'lang="en"' in here.client.get("/console", headers={"Accept-Language": "de"}).text
    moved = here.post("/console/language", language="zh", back="/console/jobs")
    assert moved.headers["location"] == "/console/jobs"
    assert "任务" in here.client.get("/console/jobs", headers={"Accept-Language": "en"}).text
    for back in (
        "//evil.example",
        "https://evil.example",
        "/console/../x",
        "/\\evil",
        "javascript:1",
    ):
        assert (
            here.post("/console/language", language="en", back=back).headers["location"]
            == "/console"
        )


@pytest.mark.parametrize(
    ("content", "form", "columns", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", "CSV", ("a", "b"), (("1", "2"), ("3", "4"))),
        (b"\xef\xbb\xbfa;b\n1,5;2\n", "CSV, separator ;", ("a", "b"), (("1,5", "2"),)),
        (b'a\tb\n"x\ty"\t2\n', "TSV", ("a", "b"), (("x\ty", "2"),)),
        (b'{"a": 1, "b": "x"}\n{"a": 2}\n', "JSON lines", ("a", "b"), (("1", '"x"'), ("2", ""))),
        (b"PAR1....", "Parquet", (), ()),
        (b"a\x00b", "binary", (), ()),
        (b"", "empty", (), ()),
    ],
)
def test_what_a_file_looks_like(
    content: bytes, form: str, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]
) -> None:
    import gzip

    found = file_preview.look(_bytes(content))
    assert (found.format, found.columns, found.rows) == (form, columns, rows)
    packed = file_preview.look(_bytes(gzip.compress(content)))
    assert (packed.format, packed.columns, packed.rows) == (
        f"{form}, gzip" if columns or form == "empty" else form,
        columns,
        rows,
    )


def test_a_form_without_a_length_or_beyond_its_bound_is_not_read(here: Site) -> None:
    token = token_of(here.client, "/console")
    headers = {"X-CSRF-Token": token}
    chunked = here.client.post("/console/recipe", content=iter([b"recipe=x"]), headers=headers)
    assert chunked.status_code == 400
    large = here.client.post("/console/recipe", content=b"x" * (4 * 1024**2 + 1), headers=headers)
    assert large.status_code == 429


def _bytes(content: bytes | str):  # type: ignore[no-untyped-def]
    import io

    return io.BytesIO(content.encode() if isinstance(content, str) else content)


def _quota():  # type: ignore[no-untyped-def]
    from sixfold.service.domain.people import Quota

    return Quota()


def _page():  # type: ignore[no-untyped-def]
    from sixfold.service.ports.pages import PageQuery

    return PageQuery()
