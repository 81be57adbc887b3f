"""A real Kubernetes for demo, tests and benchmarks: kind where a Docker engine answers, else built from source."""
