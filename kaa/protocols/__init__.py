"""The contracts: one file per RFC, data only."""
