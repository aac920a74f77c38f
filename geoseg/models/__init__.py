"""Models: bundle files, the networks they name, and the runtimes that run them."""
