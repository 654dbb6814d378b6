"""ECR, endpoint configuration registry: which configuration each endpoint is to have, and which it has."""
