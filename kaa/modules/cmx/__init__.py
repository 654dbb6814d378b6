"""CMX, configuration management extension: brings endpoints the configurations that a provider keeps."""
