"""The request of a run, how it ended, and where that is kept."""
