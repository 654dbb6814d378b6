"""MQTT 3.1, 3.1.1 and 5: bytes in, packets and events out, no I/O.

    packets, properties, reasons   what travels
    topics                         names, filters, matching
    wire, decoding, encoding       bytes to packets and back; `codec.Decoder` is the door
    server, client                 the state machines of one connection; `session` is what outlives it

Clauses are cited as the standards number them: [MQTT-x.y.z-n] is 3.1.1, [MQTT5-x.y.z-n] is 5.
"""
