"""EPL, endpoint lifecycle: whether endpoints are connected becomes metadata and a time series."""
