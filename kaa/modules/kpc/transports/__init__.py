"""The doors of KPC: thin shells over one service."""
