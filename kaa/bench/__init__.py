"""`kaa bench`: measures this machine as a user would, from outside: a server process, a load process, REST."""
