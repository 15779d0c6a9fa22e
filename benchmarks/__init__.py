"""What the package is measured with: `make bench-index`, `make bench-rank`.

docs/benchmarks.md says what is measured, and has figures.
"""
