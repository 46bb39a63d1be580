"""A text without what nobody else should read: keys, tokens, passwords in addresses, the user's home."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GONE: Final = "[redacted]"
_SECRETS: Final = (
    (re.compile(r"\bsf_[A-Za-z0-9_-]+"), GONE),
    (re.compile(r"\b(?:hf|sk|ghp|github_pat|xox[a-z])[_-][A-Za-z0-9_-]{8,}"), GONE),
    (re.compile(r"\bAKIA[A-Z0-9]{12,}"), GONE),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), GONE),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+"), rf"\1 {GONE}"),
    (re.compile(r"([a-zA-Z][\w+.-]*://)[^\s/\"'@]*:[^\s\"']*@"), rf"\1{GONE}@"),
    (
        re.compile(
            r"(?i)([\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)[\w-]*\\?[\"']?\s*[=:]\s*\\?[\"']?)"
            r"[^\s\"'&,;\\]+"
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"(/home/|/Users/|\\Users\\)[^/\\\s\"']+"), r"\1~"),
)


def redacted(text: str) -> str:
    """The same text, where only what looks like none of them is left."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
