"""What the training recipes share: rows, tokens, settings, the loop's events, and checkpoints."""
