"""Kaa: an IoT platform in one process."""
