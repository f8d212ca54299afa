"""What can be known of any network without training it: parameters, MACs, activations, depth, receptive field."""
