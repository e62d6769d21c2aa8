"""Workers, the service and the database are killed in the middle of runs: nothing is lost, nothing is done twice."""
