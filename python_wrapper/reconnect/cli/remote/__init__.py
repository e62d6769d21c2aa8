"""The command against a service: `RECONNECT_URL` says which."""
