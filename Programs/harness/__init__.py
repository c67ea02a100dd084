"""Runs programs without the shim, recorded exactly, and sampled, and compares what they did."""
