"""Generation: answers from many models at once, several rows a forward pass, one thread that owns the weights."""
