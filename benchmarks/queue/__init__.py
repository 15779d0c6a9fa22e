"""How fast the queue of AIVM jobs is: `make bench-queue`."""
