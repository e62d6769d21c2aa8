"""The incident: what it says, what it is asked, and what it is told of its run."""
