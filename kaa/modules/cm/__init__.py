"""CM, credential management: the tokens by which endpoints are known, and what clients connect with."""
