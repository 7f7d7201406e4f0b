"""Quality: what is wrong with the rows of a dataset, and how good they are; reports that name rows, never changed ones."""
