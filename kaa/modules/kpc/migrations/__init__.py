"""The history of KPC's tables."""
