"""Reconnect: finds, fixes and verifies the cause of "can't connect or register" incidents."""
