"""Runtimes, one file each: what answers for a bundle. The manifest names one."""
