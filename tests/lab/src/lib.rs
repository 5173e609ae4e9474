//! Real Kubernetes and real MySQL on one machine, for the tests, the demo and the benchmark.
