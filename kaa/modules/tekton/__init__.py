"""Tekton: the applications, their versions, and what every service instance is told about them."""
