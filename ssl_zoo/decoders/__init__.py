"""Networks that turn latent vectors back into inputs."""
