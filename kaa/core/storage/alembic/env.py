"""Alembic wants this file to be there; the environment is set up in `migrations.py`."""
