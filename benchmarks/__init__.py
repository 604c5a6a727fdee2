"""Programs that measure. Each is run by its path: `python benchmarks/pool.py`."""
