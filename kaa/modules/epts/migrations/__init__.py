"""The history of EPTS' tables."""
