"""EPTS, endpoint time series: data points as they arrive, stored before anybody is told so, and found again."""
