"""What a server or worker tells of its work while it works: lines of a log, and traces. Both are off until they are started."""
