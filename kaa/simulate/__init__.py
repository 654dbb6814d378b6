"""A fleet of made-up devices over real MQTT, for those who have none yet, or not so many."""
