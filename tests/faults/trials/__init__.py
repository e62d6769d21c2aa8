"""Trials: a case of tests/faults is injected for real, diagnosed, mended where its policy says so, and healed."""
