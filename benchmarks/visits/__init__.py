"""The parts of `benchmarks/visit.py`: the data, the contenders, the servers and their visitors."""
