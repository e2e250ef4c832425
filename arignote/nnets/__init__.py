"""Networks: activations, layers, update rules, the classifier and its training."""
