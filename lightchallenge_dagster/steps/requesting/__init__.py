"""How a claimed AIVM job becomes a request: what to send, and what to write down about it."""
