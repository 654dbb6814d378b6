"""TAP: every data sample, handed on as it comes: to files of JSON Lines, and to a webhook (13/DSTP)."""
