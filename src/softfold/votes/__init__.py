"""Several annotators: their votes, what they say together, how good each of them is."""
