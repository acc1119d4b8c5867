"""What runs: REST service, workers, command line, evaluation."""
