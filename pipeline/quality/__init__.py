"""Quality: what is wrong with the rows of a dataset, and how good they are. It names rows, and changes none."""
