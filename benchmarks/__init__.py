"""What the indexer is measured with. `make bench-index` runs it; docs/benchmarks.md has figures."""
