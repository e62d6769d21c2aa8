"""What calls by itself: hooks, and the inbox that keeps what they deliver."""
