"""How a playbook is run, and what is read of an inventory."""
