"""Backups as files: they are made, checked, and put in place of what was lost.

keeping.py     a backup's bytes as a file that is whole or not there
checking.py    whether a data directory holds together
unpacking.py   a backup's files in a directory of its own, checked
restoring.py   the same, as a data directory
snapshots.py   a copy from before a migration, in place of the database
watch.py       telling whoever waits
"""
