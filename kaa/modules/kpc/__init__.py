"""KPC, the communication service: the embedded MQTT server of 1/KP. It answers devices, and is no broker."""
