"""`sixfold worker` with another program in its children: quick_worker.py FACTS_AS_JSON worker …"""

import json
import sys

from sixfold.cli import main
from sixfold.service.worker import child, held_job

facts = json.loads(sys.argv.pop(1))
child.PROGRAM = tuple(facts["program"])
held_job.STOP_S = facts["stop_s"]
main()
