"""Names of people, places and organisations, found by language models that run here."""
