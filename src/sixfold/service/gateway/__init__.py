"""The gateway: processes of `sixfold serve` behind one address.

Nothing of a request is worked on here but its key and its way.
"""
