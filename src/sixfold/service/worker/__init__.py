"""A worker: claims jobs over HTTP, runs each in a child process, and tells what happens.

Server and workers share nothing but that.
"""
