"""`sixfold up` with another program in the children of its workers, and a lease that a test can wait for."""

import json
import sys
from pathlib import Path

from sixfold.service import server
from sixfold.service.use_cases.service import ServiceSettings

asked = json.loads(sys.argv[1])
server.PROGRAM = tuple(asked["worker"])
server.up(
    server.Up(
        Path(asked["home"]),
        port=asked["port"],
        database=asked["database"],
        workers=asked["workers"],
        settings=ServiceSettings(lease_s=asked["lease_s"], beat_s=asked["beat_s"]),
    )
)
