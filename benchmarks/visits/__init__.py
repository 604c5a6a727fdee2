"""What `benchmarks/visit.py` measures: the data, the contenders, the servers and their visitors."""
