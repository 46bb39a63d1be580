"""`sixfold worker` with another program in its children: quick_worker.py FACTS_AS_JSON worker …"""

import json
import sys

from sixfold.cli import main
from sixfold.service.worker import child, job_run

facts = json.loads(sys.argv.pop(1))
child.PROGRAM = tuple(facts["program"])
job_run.STOP_S = facts["stop_s"]
main()
