"""Who vouches for people, besides the service's own keys."""
