"""Trials: a case of tests/faults is injected for real, diagnosed, fixed where its policy says so, and healed."""
