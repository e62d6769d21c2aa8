"""Reconnect: finds, mends and proves the cause of "can't connect or register" incidents."""
