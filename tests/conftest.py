"""For all tests: tests/package/test_http_latency.py, tests/compress/test_measure.py and
tests/package/test_explanation.py take what users have, and the first page of tests/test_docs.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

from short_figures import sitecustomize

SHORT = str(Path(sitecustomize.__file__).parent)
sys.path.append(SHORT)  # processes that are given this one's path
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SHORT, os.environ.get("PYTHONPATH")]))

# The examples of a commit's tests, of properties that say no number; `make fuzz` draws a hundred new ones.
settings.register_profile("ci", settings.get_profile("ci"), max_examples=40)
