"""EPR, the endpoint register: which endpoints there are, which version each speaks, and their metadata."""
