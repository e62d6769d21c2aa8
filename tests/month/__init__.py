"""A simulated month: a seeded mix of incidents in a real tracker, which call the service by themselves."""
