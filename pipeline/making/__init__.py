"""Making: what goes into rows that models write: templates, what is too alike, who judges, and what is kept."""
