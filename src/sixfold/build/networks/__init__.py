"""Networks of one module each, in torch: built, trained and exported by the families of the same
names.
"""
