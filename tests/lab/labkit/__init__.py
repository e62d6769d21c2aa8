"""The lab: real hosts in podman containers, a customer's network and a servers' network, and faults to break them."""
