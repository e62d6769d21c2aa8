"""The warm process: it has loaded what a playbook needs, and forks a process for each run."""
