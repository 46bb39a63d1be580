"""Peers that run in a process of their own: `python -m bench.peers.NAME`, questions and answers as
lines of JSON.
"""
