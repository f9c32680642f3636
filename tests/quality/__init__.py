"""How well values are found: texts that are made with the values in them labelled, and what is found in them."""
