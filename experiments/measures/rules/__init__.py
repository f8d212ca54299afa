"""What every tensor operator does to the receptive field: one rule per operator, by the name of the operator."""
