"""What the service tells by itself: notifications of what waits for a person, and the outcomes of runs."""
