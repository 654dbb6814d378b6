"""CEX, command execution: commands for endpoints, kept until their results have come or their time is over (11/CEP)."""
