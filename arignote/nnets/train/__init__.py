"""Training: its state, the loop over minibatches, the executors that compute, checkpoints and stop requests."""
