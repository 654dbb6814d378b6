"""The services, one package each; they meet on the bus and nowhere else."""
