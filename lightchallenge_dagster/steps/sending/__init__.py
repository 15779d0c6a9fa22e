"""The rooms of the outbox: what is signed, what became of it, and how a nonce is freed again."""
