"""The form of POST /v1/audio/transcriptions, and what its answers look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sixfold.bundle.frontend import shorten, shown
from sixfold.bundle.transcription.runtime import Transcript
from sixfold.core.errors import did_you_mean
from sixfold.serve.errors import ParameterRefusal, Refusal, bad_request
from sixfold.serve.multipart import FORM, LONGEST_VALUE, Part, boundary_of, parts

PATH: Final = "/v1/audio/transcriptions"
ResponseFormat = Literal["json", "text", "verbose_json"]
FORMATS: Final = ("json", "text", "verbose_json")
REQUIRED: Final = ("file", "model")
FIELDS: Final = {
    "file": "WAV, FLAC, MP3 or OGG",
    "model": "The name of the model that is served",
    "response_format": "json (left out), text, or verbose_json: with words and their times",
    "timestamp_granularities[]": "word, of verbose_json",
    "temperature": "0: the most probable text is answered",
    "stream": "false",
}
# What OpenAI's clients may send and this server does not act on, and what to do instead.
UNKNOWN: Final = {
    "chunking_strategy": "Leave it out.",
    "include[]": "Leave it out.",
    "language": "Leave it out: the model knows that of its training texts.",
    "prompt": "Leave it out: the model takes none.",
}
SUBTITLES: Final = "Ask for verbose_json, which has the times of words."


@dataclass(frozen=True)
class TranscriptionRequest:
    """A sound file, and the form of the answer; `timed`: whether times of words were asked for."""

    content: bytes
    response_format: ResponseFormat
    timed: bool = False


def read_transcription(
    body: bytes | bytearray, content_type: str, model: str
) -> TranscriptionRequest:
    """Raises ParameterRefusal, and Refusal 404 for another model than `model`, 400, 413 or 415 for what is
    no form.
    """
    if content_type.partition(";")[0].strip().lower() != FORM:
        found = shorten(content_type) or "none"
        raise Refusal(415, "Content-Type", FORM, found, "Send the recording as the field file.")
    files: list[Part] = []
    fields: dict[str, list[str]] = {}
    for part in parts(body, boundary_of(content_type)):
        if part.name == "file":
            files.append(part)
        else:
            fields.setdefault(part.name, []).append(_text(part))
    _check_names(fields)
    _check_model(fields.pop("model", []), model)
    if len(files) != 1:
        found = f"{len(files):,} of them" if files else "none"
        raise _invalid("file", "one recording", found, "Send it as the field file.")
    asked = _one(fields, "response_format", "json")
    if asked not in FORMATS:
        remedy = SUBTITLES if asked in ("srt", "vtt") else "Leave it out for json."
        raise _invalid("response_format", f"one of {', '.join(FORMATS)}", shown(asked), remedy)
    _check_others(fields, asked)
    timed = "timestamp_granularities[]" in fields
    return TranscriptionRequest(files[0].content, cast(ResponseFormat, asked), timed)


def answer_of(found: Transcript, response_format: ResponseFormat) -> dict[str, Any] | str:
    """The content of the answer: of text the text itself, with a line end."""
    if response_format == "text":
        return f"{found.text}\n"
    if response_format == "json":
        return {"text": found.text}
    told = {
        "task": "transcribe",
        "language": "unknown",
        "duration": found.duration,
        "text": found.text,
    }
    if found.words is None:
        return told
    words = [
        {"word": one.word, "start": round(one.start, 3), "end": round(one.end, 3)}
        for one in found.words
    ]
    return {**told, "words": words}


def _check_names(fields: dict[str, list[str]]) -> None:
    for name in fields:
        if name in UNKNOWN:
            raise ParameterRefusal(
                name, "nothing", "a value", UNKNOWN[name], "unsupported_parameter"
            )
        if name not in FIELDS:
            remedy = did_you_mean(name, FIELDS)
            raise ParameterRefusal(
                name, f"the fields {', '.join(FIELDS)}", shown(name), remedy, "unknown_parameter"
            )


def _check_model(asked: list[str], model: str) -> None:
    if len(asked) != 1:
        found = "none" if not asked else f"{len(asked):,}"
        raise _invalid("model", f"'{model}'", found, "Name it.")
    if asked[0] != model:
        remedy = "GET /v1/models lists what is served."
        raise Refusal(404, "model", f"'{model}'", shown(asked[0]), remedy)


def _check_others(fields: dict[str, list[str]], response_format: str) -> None:
    """What can be asked for in one way alone."""
    temperature = _one(fields, "temperature", "0")
    if temperature not in ("0", "0.0"):
        raise _invalid("temperature", "0", shown(temperature), "Leave it out.")
    stream = _one(fields, "stream", "false")
    if stream.lower() not in ("false", "0"):
        remedy = "Leave it out: a text is known once all of it was heard."
        raise _invalid("stream", "false", shown(stream), remedy)
    granularities = fields.get("timestamp_granularities[]", [])
    if granularities and response_format != "verbose_json":
        found, remedy = shown(response_format), "Ask for verbose_json."
        raise _invalid("response_format", "verbose_json, for times", found, remedy)
    if any(each != "word" for each in granularities):
        other = next(each for each in granularities if each != "word")
        raise _invalid("timestamp_granularities", "word", shown(other), "Ask for words.")


def _one(fields: dict[str, list[str]], name: str, default: str) -> str:
    values = fields.get(name, [default])
    if len(values) > 1:
        raise _invalid(name, "one value", f"{len(values):,}", "Send it once.")
    return values[0]


def _text(part: Part) -> str:
    if len(part.content) > LONGEST_VALUE:
        raise Refusal(
            413,
            part.place,
            f"at most {LONGEST_VALUE:,} bytes",
            f"{len(part.content):,}",
            "Send the recording as the field file.",
        )
    try:
        return part.content.decode()
    except UnicodeDecodeError as error:
        found = f"{error.reason} at byte {error.start}"
        raise bad_request(part.place, "UTF-8", found, "Send it as text.") from None


def _invalid(param: str, expected: str, found: str, remedy: str) -> ParameterRefusal:
    return ParameterRefusal(param, expected, found, remedy, "invalid_value")
