"""The benchmark: posd and the simulated acquirer as real processes on a real disk, side by side in one run.

It measures and says what it did; it never decides anything, and its figures are of test data only. Everything it
starts it ends by its own handle. `past.py` and `measures.py` use posd's own rooms to write and to verify a long
journal, so unlike the other simulators the benchmark is no second reading of the reference (D37).
"""
