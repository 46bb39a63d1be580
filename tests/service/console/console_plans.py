"""What `sixfold plan --json` answers, made up."""

from __future__ import annotations

PLAN = {
    "machine": "2 cores",
    "memory": {
        "bytes": 3000,
        "error": 1.5,
        "limit": 9000,
        "of": "<b>linear</b>",
        "shares": [{"what": "folds", "bytes": 1000}, {"what": "features", "bytes": 2000}],
    },
    "device": None,
    "time": {
        "seconds": 90.0,
        "error": 4.0,
        "how": "counted",
        "at_least": False,
        "stages": [{"stage": "evaluate", "seconds": 60.0}, {"stage": "refit", "seconds": 30.0}],
    },
    "disk_bytes": 700,
    "price": None,
    "strategies": {},
    "steps": [],
}
DATA = {
    "rows": 150,
    "training_rows": 120,
    "task": "classification",
    "target": ["kind"],
    "columns": [{"name": "<i>size</i>", "kind": "number", "missing": 3}],
    "notes": [],
    "warnings": ["size: <u>odd</u>"],
}
