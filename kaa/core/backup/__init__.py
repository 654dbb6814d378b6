"""A backup: one file with everything that a data directory holds.

archive.py   the file's format: a tar in which every byte is accounted for
reading.py   taking such a file apart, however damaged or hostile it is
cut.py       one moment of a data directory that goes on being written to, as the bytes of an archive
serving.py   the same of a server that runs, over REST
"""
