"""What an operator launches by hand: one challenge, one repair, one comparison with the chain."""
