"""`sixfold worker` with another program in its children: quick_worker.py PROGRAM_AS_JSON worker …"""

import json
import sys

from sixfold.cli import main
from sixfold.service.worker import child

child.PROGRAM = tuple(json.loads(sys.argv.pop(1)))
main()
