"""EPMX, endpoint metadata extension: devices read and write their metadata, as far as they may (10/EPMP)."""
