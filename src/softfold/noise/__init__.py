"""How given labels go wrong: the noise model, its evidence, how it is estimated."""
