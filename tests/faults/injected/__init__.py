"""Injected faults: a seeded mix of the suite and of mutations with --apply, and what became of server and calls."""
