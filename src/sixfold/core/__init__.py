"""What every other folder stands on: errors, plug-ins, seeds, units, paths. Standard library
only.
"""
