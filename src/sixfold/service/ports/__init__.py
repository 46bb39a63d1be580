"""What the use cases ask of the world: protocols of at most eight methods, with one suite of tests for all their stores."""
