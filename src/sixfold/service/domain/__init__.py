"""What the service is about, without databases, files or HTTP: frozen values and the rules between them."""
