"""The log: one line an event, whatever stands in it; and a reader that stalls holds up nobody."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.telemetry import logs

ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]")
SECRETS = (
    "sf_" + "a" * 49,
    "Bearer abc.def",
    "password=hunter2",
    "postgresql://u:hunter2@db/x",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
)


def told(form: str | None = "json") -> tuple[io.StringIO, Any]:
    stream = io.StringIO()
    return stream, logs.written(form, stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_what_is_known() -> None:
    stream, writing = told()
    with writing, logs.about(request_id="req-1", job_id=None):
        logs.note(tenant="tenant-1")
        logs.event("request", status=200, duration_s=0.25)
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "event": "request",
        "status": 200,
        "duration_s": 0.25,
        "request_id": "req-1",
        "tenant": "tenant-1",
    }


def test_what_is_noted_in_a_thread_is_of_the_same_work_and_of_no_other() -> None:
    stream, writing = told()
    with writing:
        with logs.about(request_id="a"):
            import contextvars

            inside = contextvars.copy_context()
            thread = threading.Thread(target=lambda: inside.run(logs.note, tenant="t"))
            thread.start()
            thread.join()
            with logs.about(job_id="j"):
                logs.event("inner")
            logs.event("outer")
        logs.note(tenant="nobody's")
        logs.event("after")
    inner, outer, after = lines(stream)
    assert (inner["request_id"], inner["tenant"], inner["job_id"]) == ("a", "t", "j")
    assert outer["tenant"] == "t" and "job_id" not in outer
    assert not {"request_id", "tenant"} & after.keys()


@given(st.text(max_size=200), st.sampled_from(logs.FORMS))
def test_no_text_is_more_than_a_line_or_acts_on_a_terminal(text: str, form: str) -> None:
    stream, writing = told(form)
    with writing, logs.about(path=text):
        logs.event("request", why=text)
        logging.getLogger("another.package").warning("%s", text)
    written = stream.getvalue()
    assert written.count("\n") == 2 and written.endswith("\n")
    assert not ACTING.search(written)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", logs.FORMS)
def test_secrets_are_left_out(secret: str, form: str) -> None:
    stream, writing = told(form)
    with writing:
        logs.event("request", path=f"/models/{secret}")
        logging.getLogger("another.package").warning("it said %s", secret)
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("another.package").exception("it failed")
    written = stream.getvalue()
    hidden = secret.split("=")[-1].split(" ")[-1] if "://" not in secret else "hunter2"
    assert hidden not in written and "redacted" in written


def test_a_traceback_is_in_its_line_and_below_it_for_people() -> None:
    for form in logs.FORMS:
        stream, writing = told(form)
        with writing:
            try:
                raise ValueError("the\nreason")
            except ValueError:
                logging.getLogger("another.package").exception("it failed")
        first, *below = stream.getvalue().splitlines()
        if form == "json":
            assert not below and "the\nreason" in json.loads(first)["exception"]
        else:
            assert below and all(line.startswith("    ") for line in below)


def test_without_a_form_there_are_warnings_alone_for_people() -> None:
    stream, writing = told(None)
    with writing:
        assert not logs.are_written()
        logs.event("request", status=200)
        logs.event("store.damaged", logging.WARNING, digests="a")
    assert "store.damaged digests=a" in stream.getvalue() and "request" not in stream.getvalue()


def test_everything_is_as_before_afterwards() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logs.LOG.level
    with logs.written("json", io.StringIO()):
        assert logs.are_written() and logs.are_taken()
    assert (root.handlers[:], root.level, logs.LOG.level) == before
    assert not logs.are_written() and not logs.are_taken()


def test_a_reader_that_stalls_holds_up_nobody_and_learns_what_it_missed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading) as reader:
        with logs.written("json", stream):
            for number in range(logs.MOST_WAITING + 5000):  # far more than a pipe holds
                logs.event("request", number=number)
            found: list[dict[str, Any]] = []

            def read() -> None:
                found.extend(json.loads(line) for line in reader)

            thread = threading.Thread(target=read)
            thread.start()
            while not found or found[-1].get("number", 0) < 2000:  # there is room again
                time.sleep(0.01)
            logs.event("last")
        stream.close()
        thread.join()
    (lost,) = (one for one in found if one["event"] == "log.lost")
    numbers = [one["number"] for one in found if one["event"] == "request"]
    assert len(numbers) + lost["lines"] == logs.MOST_WAITING + 5000
    assert lost["lines"] > 0 and found[-1]["event"] == "last"


def test_a_stream_that_is_closed_ends_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    with logs.written("json", stream):
        logs.event("request")
