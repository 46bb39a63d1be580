"""The console: pages for people, made on the server. What they do is what the API does: the same use cases, with a session in
place of a key.
"""
