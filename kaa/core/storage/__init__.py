"""What the server keeps: one database for what the services know, and files by period for data points.

database.py    kaa.db: `storage.write(fn)` and `storage.read(fn)`, one commit for all that is queued
periods.py     tables in files of their own by period, with a writer of their own
readers.py     the threads that read, apart from the loop
budget.py      how much may be stored, and the reserve
faults.py      what a database's errors mean to the one who waits for it
migrations.py  the schema's history, one branch a service
migrating.py   the same in a child process, for a server that starts
outbox.py      events that must not be lost
"""
