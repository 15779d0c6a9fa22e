"""What verdicts, rankings and standings are measured with: `make bench-rank`."""
