"""2/DCP, data collection: the resources of a data collection extension."""

JSON = "/json"
PLAIN = "/plain/"
