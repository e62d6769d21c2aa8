"""The self-check of a browser on the user's device: its one-time links, and what it saw."""
