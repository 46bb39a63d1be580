"""What people do with the service, a function each: `verb(service, principal, …)`."""
