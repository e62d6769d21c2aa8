"""Who carries out a run, and who waits for it."""
