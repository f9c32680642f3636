"""How much a text reads like one that is meant to take a model over, or to bring it to forget its rules."""
