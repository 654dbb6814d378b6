"""DCX, data collection: telemetry of devices, split into samples and handed to whoever wants them (2/DCP)."""
