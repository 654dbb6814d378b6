"""The history of this module's tables; steps are added, never edited."""
